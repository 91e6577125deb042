#!/bin/sh
# count.sh - runs cmocka programs and adds up their tests.
passed=0
failed=0
for program in "$@"; do
    output=$("$program" 2>&1)
    status=$?
    # cmocka prints a line for each test: "[       OK ] name" or "[  FAILED  ] name".
    ok=$(printf '%s\n' "$output" | grep -c '^\[ *OK \]')
    bad=$(printf '%s\n' "$output" | grep -c '^\[ *RUN *\]')
    bad=$((bad - ok))
    if [ $status -ne 0 ] && [ $bad -eq 0 ]; then bad=1; fi
    [ $bad -eq 0 ] || printf '%s\n' "$output"
    passed=$((passed + ok))
    failed=$((failed + bad))
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
