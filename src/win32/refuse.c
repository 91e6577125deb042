#include "plan/option_table.h"
#include "win32/win32.h"

void refuse_options(const struct plan *plan, struct faults *faults)
{
    (void)plan, (void)faults;
}
