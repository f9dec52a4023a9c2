#include "tidegate.h"

#include <string.h>
#include "pb_decode.h"
#include "pb_encode.h"

#define BACKOFF_FIRST_MS 500u
#define BACKOFF_MAX_MS 30000u
/* Time may wrap: only differences are compared. */
#define IS_PAST(now, at) ((int32_t)((now) - (at)) >= 0)

static void tell(struct tg_client *it, enum tg_event event, uint64_t seq)
{
    if (it->device->event)
        it->device->event(it->device->context, event, seq);
}

/* Encodes `up` into `message`; 0 if it is too long. */
static size_t encode(struct tg_client *it)
{
    pb_ostream_t stream = pb_ostream_from_buffer(it->message, sizeof it->message);
    return pb_encode(&stream, tidegate_v1_Upstream_fields, &it->up) ? stream.bytes_written : 0;
}

static bool say(struct tg_client *it, size_t length)
{
    return length && it->device->send(it->device->context, it->message, length);
}

void tg_open(struct tg_client *it, const struct tg_device *device, const char *name, uint64_t session,
             uint64_t lowest, uint64_t next, uint32_t held_max)
{
    memset(it, 0, sizeof *it);
    it->device = device;
    it->name = name;
    it->session = session;
    it->lowest = lowest;
    it->next = next;
    it->held_max = held_max;
}

tidegate_v1_Batch *tg_batch(struct tg_client *it)
{
    memset(&it->up, 0, sizeof it->up);
    it->up.which_message = tidegate_v1_Upstream_batch_tag;
    return &it->up.message.batch;
}

bool tg_is_empty(const struct tg_client *it)
{
    return it->lowest == it->next;
}

/* Whether a batch is in the store; what was refused leaves a hole. */
static size_t fetch(struct tg_client *it, uint64_t seq)
{
    return it->device->fetch(it->device->context, seq, it->message, sizeof it->message);
}

/* `lowest` goes up over what is not there any more. */
static void settle(struct tg_client *it, uint64_t last)
{
    if (last >= it->next)
        last = it->next - 1;
    for (uint64_t seq = it->lowest; seq <= last; seq++)
        it->unanswered[seq % TG_WINDOW] = 0;
    if (last >= it->lowest) {
        it->lowest = last + 1;
        it->device->settle(it->device->context, last);
    }
    while (it->lowest < it->next && fetch(it, it->lowest) == 0)
        it->lowest++;
}

uint64_t tg_keep(struct tg_client *it)
{
    uint64_t seq = it->next;
    it->up.message.batch.seq = seq;
    size_t length = encode(it);
    if (!length)
        return 0;
    uint64_t oldest = 0;
    if (it->next - it->lowest >= it->held_max) {
        oldest = it->lowest;
        it->device->drop(it->device->context, oldest);
    }
    if (!it->device->keep(it->device->context, seq, it->message, length))
        return 0;
    it->next++;
    if (oldest) {
        it->unanswered[oldest % TG_WINDOW] = 0;
        it->lowest++;
        tell(it, TG_GAVE_UP, oldest);
    }
    tell(it, TG_KEPT, seq);
    return seq;
}

bool tg_may_connect(const struct tg_client *it, uint32_t now)
{
    return !it->connected && !it->final && now - it->left_at_ms >= it->wait_ms;
}

void tg_connected(struct tg_client *it, uint32_t now)
{
    (void)now;
    it->connected = true;
    it->welcome = it->holds = it->has_sent = false;
    it->interval_ms = it->goodbye_ms = 0;
    memset(it->unanswered, 0, sizeof it->unanswered);
    memset(&it->up, 0, sizeof it->up);
    it->up.which_message = tidegate_v1_Upstream_hello_tag;
    tidegate_v1_Hello *hello = &it->up.message.hello;
    strncpy(hello->client, it->name, sizeof hello->client - 1);
    strcpy(hello->software, "tidegate-client (c) 0.1.0");
    hello->session = it->session;
    hello->resume = it->lowest;
    say(it, encode(it));
}

void tg_disconnected(struct tg_client *it, int code, uint32_t now)
{
    it->connected = it->welcome = false;
    it->left_at_ms = now;
    uint32_t wait = BACKOFF_FIRST_MS << it->failures;
    if (wait > BACKOFF_MAX_MS)
        wait = BACKOFF_MAX_MS;
    wait -= it->device->random(it->device->context) % (wait / 2);
    it->wait_ms = wait > it->goodbye_ms ? wait : it->goodbye_ms;
    it->goodbye_ms = 0;
    if (it->failures < 6)
        it->failures++;
    switch (code) {
    case 1002: case 1003: case 1007: case 1008: case 4001: case 4003:
        it->final = true;
    }
}

/* Each is answered, also one that is not known; one that comes twice is done once. */
static void obey(struct tg_client *it, const tidegate_v1_Command *command)
{
    int before = -1;
    for (int i = 0; i < TG_COMMANDS; i++)
        if (it->commands[i].id == command->id && command->id)
            before = i;
    memset(&it->up, 0, sizeof it->up);
    it->up.which_message = tidegate_v1_Upstream_result_tag;
    tidegate_v1_CommandResult *result = &it->up.message.result;
    result->id = command->id;
    if (before >= 0) {
        result->ok = it->commands[before].ok;
        strcpy(result->message, result->ok ? "" : "it could not be done");
    } else {
        strcpy(result->message, "not known here");
        result->ok = it->device->command && it->device->command(it->device->context, command, result->message);
        it->commands[it->command_next].id = command->id;
        it->commands[it->command_next].ok = result->ok;
        it->command_next = (uint8_t)((it->command_next + 1) % TG_COMMANDS);
        if (result->ok)
            result->message[0] = 0;
    }
    say(it, encode(it));
}

static void refused(struct tg_client *it, const tidegate_v1_Refusal *refusal, uint32_t now)
{
    if (refusal->which_retry == tidegate_v1_Refusal_later_after_ms_tag) {
        /* All that is held is sent again, as after a reconnect. */
        uint32_t until = now + refusal->retry.later_after_ms;
        if (!it->holds || IS_PAST(until, it->hold_until_ms))
            it->hold_until_ms = until;
        it->holds = true;
        it->sent = it->lowest - 1;
        memset(it->unanswered, 0, sizeof it->unanswered);
    } else if (refusal->seq >= it->lowest && refusal->seq < it->next && fetch(it, refusal->seq)) {
        it->unanswered[refusal->seq % TG_WINDOW] = 0;
        it->device->drop(it->device->context, refusal->seq);
        settle(it, it->lowest - 1);
        tell(it, TG_REFUSED, refusal->seq);
    }
}

bool tg_hear(struct tg_client *it, const uint8_t *message, size_t length, uint32_t now)
{
    memset(&it->down, 0, sizeof it->down);
    pb_istream_t stream = pb_istream_from_buffer(message, length);
    if (!pb_decode(&stream, tidegate_v1_Downstream_fields, &it->down)) {
        /* A document or payload that is too long for us is not the end of the world; nonsense is. */
        return it->down.which_message == tidegate_v1_Downstream_command_tag
            || it->down.which_message == tidegate_v1_Downstream_desired_tag;
    }
    switch (it->down.which_message) {
    case tidegate_v1_Downstream_welcome_tag: {
        const tidegate_v1_Welcome *welcome = &it->down.message.welcome;
        settle(it, welcome->last_seq);
        it->sent = it->lowest - 1;
        it->credit_batches = welcome->credit_batches;
        it->credit_bytes = welcome->credit_bytes;
        it->failures = 0;
        it->welcome = true;
        break;
    }
    case tidegate_v1_Downstream_ack_tag:
        settle(it, it->down.message.ack.seq);
        it->credit_batches = it->down.message.ack.credit_batches;
        it->credit_bytes = it->down.message.ack.credit_bytes;
        break;
    case tidegate_v1_Downstream_refusal_tag:
        refused(it, &it->down.message.refusal, now);
        break;
    case tidegate_v1_Downstream_throttle_tag:
        it->credit_batches = it->down.message.throttle.credit_batches;
        it->credit_bytes = it->down.message.throttle.credit_bytes;
        it->interval_ms = it->down.message.throttle.min_interval_ms;
        break;
    case tidegate_v1_Downstream_command_tag:
        obey(it, &it->down.message.command);
        break;
    case tidegate_v1_Downstream_goodbye_tag:
        it->goodbye_ms = it->down.message.goodbye.reconnect_after_ms;
        break;
    default: /* of a newer daemon, or a Desired: who never sends Reported need not take it */
        break;
    }
    return true;
}

uint32_t tg_poll(struct tg_client *it, uint32_t now)
{
    const uint32_t idle = 1000;
    if (!it->connected) {
        uint32_t gone = now - it->left_at_ms;
        return gone < it->wait_ms ? it->wait_ms - gone : it->final ? idle : 0;
    }
    while (it->welcome) {
        if (it->holds && !IS_PAST(now, it->hold_until_ms))
            return it->hold_until_ms - now;
        it->holds = false;
        if (it->has_sent && now - it->last_sent_ms < it->interval_ms)
            return it->interval_ms - (now - it->last_sent_ms);
        uint64_t seq = (it->sent >= it->lowest ? it->sent : it->lowest - 1) + 1;
        size_t length = 0;
        while (seq < it->next && (length = fetch(it, seq)) == 0)
            seq++;
        if (!length)
            return idle;
        uint32_t batches = 0, bytes = 0;
        for (int i = 0; i < TG_WINDOW; i++) {
            batches += it->unanswered[i] != 0;
            bytes += it->unanswered[i];
        }
        if (batches >= it->credit_batches || it->unanswered[seq % TG_WINDOW]
            || seq - it->lowest >= TG_WINDOW || (batches && bytes + length > it->credit_bytes))
            return idle;
        it->sent = seq;
        it->unanswered[seq % TG_WINDOW] = (uint16_t)length;
        it->has_sent = true;
        it->last_sent_ms = now;
        if (!say(it, length))
            return idle;
    }
    return idle;
}
