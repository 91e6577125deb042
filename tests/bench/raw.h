/* raw.h - a program without a C library: system calls, and where it begins.
 *
 * What glibc does before main() takes longer than anything that is measured here.  x86-64 only.
 * Compile with -nostdlib -static -ffreestanding. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#ifndef __x86_64__
#error "only the x86-64 system calls are known here"
#endif

#include <asm/unistd.h>

static inline __attribute__((always_inline)) long call(long number, long a, long b, long c, long d)
{
    long result;
    register long fourth __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                     : "rcx", "r11", "memory");
    return result;
}

static inline __attribute__((always_inline, noreturn)) void leave(int status)
{
    for (;;)
        call(__NR_exit_group, status, 0, 0, 0);
}

/* The program's main(): `stack` has argc, argv, NULL, the environment, NULL. */
__attribute__((used)) _Noreturn void begin(long *stack);

__asm__(".globl _start\n"
        "_start: xor %ebp, %ebp\n"
        "        mov %rsp, %rdi\n"
        "        and $-16, %rsp\n"
        "        call begin\n");

#endif
