/* A steady clock that runs fast and steps: loaded before libc into the peer's process, so that a
 * library that cannot be handed a clock reads the same one as ours does.
 *
 * BENT_FROM_NS  machine's monotonic ns at which it begins to differ
 * BENT_PPB      its excess in ns a second
 * BENT_STEPS    "at_ns:by_ns,…" in machine's monotonic ns
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST 16

static long long from_ns, ppb, at_ns[MOST], by_ns[MOST];
static int steps;

__attribute__((constructor)) static void configure(void) {
    const char *from = getenv("BENT_FROM_NS"), *rate = getenv("BENT_PPB");
    char *rest = getenv("BENT_STEPS");
    from_ns = from ? strtoll(from, NULL, 10) : 0;
    ppb = rate ? strtoll(rate, NULL, 10) : 0;
    while (rest && *rest && steps < MOST) {
        at_ns[steps] = strtoll(rest, &rest, 10);
        if (*rest == ':') by_ns[steps++] = strtoll(rest + 1, &rest, 10);
        if (*rest == ',') rest++;
    }
}

int clock_gettime(clockid_t id, struct timespec *ts) {
    long result = syscall(SYS_clock_gettime, id, ts);
    if (result || id != CLOCK_MONOTONIC) return (int)result;
    long long true_ns = ts->tv_sec * 1000000000LL + ts->tv_nsec, ns = true_ns;
    ns += (long long)((__int128)(true_ns - from_ns) * ppb / 1000000000);
    for (int i = 0; i < steps; i++)
        if (true_ns >= at_ns[i]) ns += by_ns[i];
    ts->tv_sec = ns / 1000000000;
    ts->tv_nsec = ns % 1000000000;
    return 0;
}
