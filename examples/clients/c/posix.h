/* What tidegate.h wants of a device, on POSIX: a WebSocket over TCP, and a ring of slots in a file. Enough to try the
 * client; not a WebSocket library (no TLS, no fragments, one connection). */
#ifndef POSIX_H
#define POSIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -- WebSocket */

struct ws {
    int socket;          /* -1: none */
    uint8_t in[66000];   /* the daemon's messages have at most 64 KiB */
    size_t have;
};

/* "ws://host:port/path", subprotocol tidegate.v1; a token of "" is not shown. */
bool ws_connect(struct ws *ws, const char *url, const char *token);
bool ws_send(struct ws *ws, int opcode, const uint8_t *payload, size_t length);

enum ws_got { WS_NOTHING, WS_MESSAGE, WS_CLOSED };
/* Waits for at most `wait_ms`. A ping is answered here. WS_CLOSED: `code` is the close code, 0 if there was none. */
enum ws_got ws_next(struct ws *ws, int wait_ms, uint8_t *message, size_t *length, int *code);
void ws_close(struct ws *ws);

/* -- store
 *
 *   file   = header | header | slot[slots]
 *   header = crc32 u32 | slots u32 | session u64 | settled u64    the valid one with the higher `settled` holds
 *   slot   = crc32 u32 | length u32 | seq u64 | message           of batch seq in slot seq % slots; length 0: dropped
 *
 * In the machine's byte order. A batch is kept when fdatasync has returned; what is settled is not synced. */

struct store {
    int file;
    uint32_t slots, slot_bytes;
    uint64_t session, settled, lowest, next;
    bool odd;
};

bool store_open(struct store *store, const char *path, uint32_t slots, uint32_t message_bytes);
bool store_keep(struct store *store, uint64_t seq, const uint8_t *message, size_t length);
size_t store_fetch(struct store *store, uint64_t seq, uint8_t *message, size_t max);
void store_drop(struct store *store, uint64_t seq);
void store_settle(struct store *store, uint64_t seq);

#endif
