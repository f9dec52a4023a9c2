/* What `tidegate conformance` runs (docs/clients.md): the client of tidegate.h on POSIX. */
#include "posix.h"
#include "tidegate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* The daemon pings every 25 s: who hears nothing for longer has no connection. */
#define SILENCE_MAX_MS 60000u

static struct ws ws = { .socket = -1 };
static struct store store;
static struct tg_client client;

static uint32_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

static bool to_daemon(void *context, const uint8_t *message, size_t length)
{
    (void)context;
    return ws_send(&ws, 2, message, length);
}

static bool keep(void *context, uint64_t seq, const uint8_t *message, size_t length)
{
    return store_keep(context, seq, message, length);
}

static size_t fetch(void *context, uint64_t seq, uint8_t *message, size_t max)
{
    return store_fetch(context, seq, message, max);
}

static void drop(void *context, uint64_t seq)
{
    store_drop(context, seq);
}

static void settle(void *context, uint64_t seq)
{
    store_settle(context, seq);
}

static uint32_t any(void *context)
{
    (void)context;
    uint32_t number = 0;
    return getrandom(&number, sizeof number, 0) == sizeof number ? number : 0;
}

static void tell(void *context, enum tg_event event, uint64_t seq)
{
    static const char *const words[] = { "kept", "refused", "gave-up" };
    (void)context;
    printf("%s %llu\n", words[event], (unsigned long long)seq);
    fflush(stdout);
}

static const char *part(const char *name)
{
    const char *value = getenv(name);
    if (!value)
        fprintf(stderr, "%s is not set\n", name), exit(2);
    return value;
}

static bool reading(uint64_t number)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    tidegate_v1_Batch *batch = tg_batch(&client);
    batch->base_time = now.tv_sec * 1000000000ll + now.tv_nsec;
    batch->tables_count = 1;
    batch->tables[0].columns_count = 1;
    tidegate_v1_Column *column = &batch->tables[0].columns[0];
    strcpy(column->metric, "conformance");
    column->ints_count = 1;
    column->ints[0] = (int64_t)number;
    return tg_keep(&client) != 0;
}

int main(void)
{
    static const struct tg_device device = {
        .send = to_daemon, .keep = keep, .fetch = fetch, .drop = drop, .settle = settle, .random = any, .event = tell,
        .context = &store,
    };
    char path[1024];
    snprintf(path, sizeof path, "%s/buffer.ring", part("CONFORMANCE_DIR"));
    uint32_t held_max = (uint32_t)atol(part("CONFORMANCE_BUFFER"));
    if (!store_open(&store, path, held_max, TG_MESSAGE_BYTES))
        return fprintf(stderr, "%s: %s\n", path,
                   errno == EWOULDBLOCK ? "another process has this buffer" : strerror(errno)), 2;
    tg_open(&client, &device, part("CONFORMANCE_CLIENT"), store.session, store.lowest, store.next, held_max);
    uint64_t first = strtoull(part("CONFORMANCE_FIRST"), NULL, 10);
    uint64_t readings = strtoull(part("CONFORMANCE_READINGS"), NULL, 10);
    for (uint64_t number = first; number < first + readings; number++)
        if (!reading(number))
            return fprintf(stderr, "reading %llu could not be kept\n", (unsigned long long)number), 2;

    static uint8_t message[66000];
    uint32_t heard_at = 0;
    while (!tg_is_empty(&client)) {
        if (client.final)
            return fprintf(stderr, "the daemon said not to come back\n"), 1;
        if (ws.socket < 0) {
            if (!tg_may_connect(&client, now_ms())) {
                struct timespec nap = { 0, 5000000 };
                nanosleep(&nap, NULL);
                continue;
            }
            if (!ws_connect(&ws, part("CONFORMANCE_URL"), part("CONFORMANCE_TOKEN"))) {
                tg_disconnected(&client, 0, now_ms());
                continue;
            }
            heard_at = now_ms();
            tg_connected(&client, heard_at);
        }
        uint32_t wait = tg_poll(&client, now_ms());
        size_t length;
        int code;
        enum ws_got got = ws_next(&ws, (int)wait, message, &length, &code);
        if (got == WS_MESSAGE)
            heard_at = now_ms();
        bool gone = got == WS_CLOSED || now_ms() - heard_at > SILENCE_MAX_MS;
        if (got == WS_MESSAGE && !tg_hear(&client, message, length, now_ms()))
            gone = true;
        if (gone) {
            ws_close(&ws);
            tg_disconnected(&client, code, now_ms());
        }
    }
    ws_send(&ws, 8, (const uint8_t *)"\x03\xe8", 2);
    ws_close(&ws);
    return 0;
}
