/*
 * Loaded before libc into the kernel of a machine (LD_PRELOAD).
 *
 * User-mode Linux 6.1 keeps the extended registers of its processes in a buffer of fixed size,
 * and hands them back with ptrace. The host's kernel refuses them if it has more than that, as on
 * a processor with AMX ("ptrace set fp regs failed, errno = 14"). So they are padded here, with
 * the components that are not in the buffer marked as unused.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

enum {
    STATES = 0xd,          /* the leaf of cpuid(1) that tells of extended states */
    HEADER = 512,          /* where the bits of the components that are used stand */
    SMALLEST = HEADER + 64 /* without any component beside x87 and SSE */
};

static char whole[1 << 16] __attribute__((aligned(64)));
static long (*next)(int, ...);
static unsigned host_bytes;

__attribute__((constructor)) static void prepare(void)
{
    unsigned eax, ecx, edx;

    next = (long (*)(int, ...))dlsym(RTLD_NEXT, "ptrace");
    __cpuid_count(STATES, 0, eax, host_bytes, ecx, edx);
}

/* The components whose place in a buffer of this size is. */
static uint64_t held_by(size_t bytes)
{
    uint64_t held = 3; /* x87 and SSE */
    unsigned size, offset, ecx, edx;

    for (unsigned component = 2; component < 63; component++) {
        __cpuid_count(STATES, component, size, offset, ecx, edx);
        if (size && !(ecx & 1) && offset + size <= bytes) /* one that is the user's */
            held |= 1ULL << component;
    }
    return held;
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    long pid;
    void *address, *data;

    va_start(arguments, request);
    pid = va_arg(arguments, long);
    address = va_arg(arguments, void *);
    data = va_arg(arguments, void *);
    va_end(arguments);
    if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
        const struct iovec *part = data;

        if (part->iov_len >= SMALLEST && part->iov_len < host_bytes && host_bytes <= sizeof whole) {
            static uint64_t held;
            struct iovec all = {whole, host_bytes};
            uint64_t used;

            if (!held)
                held = held_by(part->iov_len);
            memcpy(whole, part->iov_base, part->iov_len);
            memcpy(&used, whole + HEADER, sizeof used);
            used &= held;
            memcpy(whole + HEADER, &used, sizeof used);
            return next(request, pid, address, &all);
        }
    }
    return next(request, pid, address, data);
}
