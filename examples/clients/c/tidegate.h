/* A client of Tidegate for microcontrollers: the conversation of docs/devices.md as a state machine.
 *
 * It has no heap, no thread, no clock and no socket. It is told the time and what came, and calls back to send a
 * message and to keep one. Messages are encoded by nanopb; `ingest.options` has the sizes.
 *
 *     tg_open, then in a loop:
 *       no connection, and tg_may_connect(now)?  connect (WebSocket, subprotocol tidegate.v1), tg_connected
 *       a binary message came?                   tg_hear
 *       the connection ended?                    tg_disconnected with its close code
 *       a reading?                               fill tg_batch(), tg_keep
 *       always                                   tg_poll, which says when to call it again at the latest
 */
#ifndef TIDEGATE_H
#define TIDEGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ingest.pb.h"

/* The longest message that is sent. */
#ifndef TG_MESSAGE_BYTES
#define TG_MESSAGE_BYTES 512
#endif
/* Batches unanswered at the same time, at most, whatever the credit: a power of 2. */
#ifndef TG_WINDOW
#define TG_WINDOW 16
#endif
/* Commands that are remembered, so that one that comes twice is done once. */
#ifndef TG_COMMANDS
#define TG_COMMANDS 8
#endif

enum tg_event { TG_KEPT, TG_REFUSED, TG_GAVE_UP };

/* What the device brings. All are called from within the functions below. */
struct tg_device {
    /* One binary WebSocket message. False: the connection is broken; tg_disconnected is to follow. */
    bool (*send)(void *context, const uint8_t *message, size_t length);
    /* Keeps a message so that it survives a reset; there is room for `held_max`. True: it does. It must, before it
     * is sent: a seq that was sent and forgotten is used again for other readings, which the daemon takes for a
     * batch that it has. */
    bool (*keep)(void *context, uint64_t seq, const uint8_t *message, size_t length);
    /* Fetches it; 0: it is not there (any more). */
    size_t (*fetch)(void *context, uint64_t seq, uint8_t *message, size_t max);
    /* Need not be kept any longer: one, or all up to one. To forget that is no harm. */
    void (*drop)(void *context, uint64_t seq);
    void (*settle)(void *context, uint64_t seq);
    /* For the waits before coming back, so that a thousand devices don't come at once. */
    uint32_t (*random)(void *context);
    /* May be NULL: what becomes of batches. */
    void (*event)(void *context, enum tg_event event, uint64_t seq);
    /* May be NULL: does what the operator wants. False: it was not done; `message` (32 bytes) says why not. */
    bool (*command)(void *context, const tidegate_v1_Command *command, char *message);
    void *context;
};

struct tg_client {
    const struct tg_device *device;
    const char *name;
    uint64_t session;    /* drawn once for the life of the store; never 0 */
    uint64_t lowest;     /* every lower seq is settled, refused or given up */
    uint64_t next;       /* the seq of the next batch */
    uint32_t held_max;
    /* of this connection */
    bool connected, welcome;
    uint64_t sent;       /* the last seq that was sent */
    uint32_t credit_batches, credit_bytes;
    uint32_t interval_ms, last_sent_ms;
    bool has_sent, holds;
    uint32_t hold_until_ms; /* a refusal for later */
    uint16_t unanswered[TG_WINDOW]; /* bytes of batch seq % TG_WINDOW; 0: answered */
    /* between connections */
    uint8_t failures;
    bool final;          /* the daemon said not to come back */
    uint32_t goodbye_ms, left_at_ms, wait_ms;
    struct { uint64_t id; bool ok; } commands[TG_COMMANDS];
    uint8_t command_next;
    /* scratch */
    tidegate_v1_Upstream up;
    tidegate_v1_Downstream down;
    uint8_t message[TG_MESSAGE_BYTES];
};

/* `lowest` and `next` as the store has them; both 1 for a fresh one. */
void tg_open(struct tg_client *client, const struct tg_device *device, const char *name, uint64_t session,
             uint64_t lowest, uint64_t next, uint32_t held_max);
/* An empty batch to fill; valid until any other function is called. Its seq is given by tg_keep. */
tidegate_v1_Batch *tg_batch(struct tg_client *client);
/* Keeps the batch. If the store is full, the oldest is given up. 0: it could not be encoded or kept. */
uint64_t tg_keep(struct tg_client *client);
/* Whether all is settled. */
bool tg_is_empty(const struct tg_client *client);

/* Whether it is time to connect. */
bool tg_may_connect(const struct tg_client *client, uint32_t now_ms);
void tg_connected(struct tg_client *client, uint32_t now_ms);
/* False: this is no message of the contract; close the connection. */
bool tg_hear(struct tg_client *client, const uint8_t *message, size_t length, uint32_t now_ms);
/* `code`: the WebSocket close code, 0 if the connection broke, or could not be made. */
void tg_disconnected(struct tg_client *client, int code, uint32_t now_ms);
/* Sends what may be sent. Returns after how many milliseconds to call it again at the latest. */
uint32_t tg_poll(struct tg_client *client, uint32_t now_ms);

#endif
