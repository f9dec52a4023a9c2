#define _GNU_SOURCE
#include "posix.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- WebSocket */

static bool send_all(int socket, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length) {
        ssize_t sent = send(socket, at, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* Reads more into `in`; 1: something came, 0: nothing in time, -1: the connection is gone. */
static int receive(struct ws *ws, int wait_ms)
{
    struct pollfd ready = { .fd = ws->socket, .events = POLLIN };
    if (poll(&ready, 1, wait_ms) <= 0)
        return 0;
    if (ws->have == sizeof ws->in)
        return -1;
    ssize_t got = recv(ws->socket, ws->in + ws->have, sizeof ws->in - ws->have, 0);
    if (got <= 0)
        return -1;
    ws->have += (size_t)got;
    return 1;
}

static void take(struct ws *ws, size_t length)
{
    ws->have -= length;
    memmove(ws->in, ws->in + length, ws->have);
}

static bool handshake(struct ws *ws, const char *host, const char *path, const char *token)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char key[25] = "AAAAAAAAAAAAAAAAAAAAAA==", request[1024];
    uint8_t random[21];
    if (getrandom(random, sizeof random, 0) < 0)
        return false;
    for (int i = 0; i < 21; i++)
        key[i] = digits[random[i] % 64];
    int length = snprintf(request, sizeof request,
        "GET /%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: tidegate.v1\r\n%s%s%s\r\n",
        path, host, key, *token ? "Authorization: Bearer " : "", token, *token ? "\r\n" : "");
    if (length >= (int)sizeof request || !send_all(ws->socket, request, (size_t)length))
        return false;
    for (;;) {
        const uint8_t *end = memmem(ws->in, ws->have, "\r\n\r\n", 4);
        if (end) {
            bool switched = memmem(ws->in, ws->have, "HTTP/1.1 101", 12) == ws->in;
            take(ws, (size_t)(end + 4 - ws->in));
            return switched;
        }
        if (receive(ws, 20000) <= 0)
            return false;
    }
}

bool ws_connect(struct ws *ws, const char *url, const char *token)
{
    char host[256], port[16] = "80", path[256] = "";
    ws->have = 0;
    if (sscanf(url, "ws://%255[^:/]:%15[0-9]/%255s", host, port, path) < 2)
        return false;
    struct addrinfo *found, hints = { .ai_socktype = SOCK_STREAM };
    if (getaddrinfo(host, port, &hints, &found))
        return false;
    ws->socket = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;
    setsockopt(ws->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    char name[300];
    snprintf(name, sizeof name, "%s:%s", host, port);
    bool done = connect(ws->socket, found->ai_addr, found->ai_addrlen) == 0 && handshake(ws, name, path, token);
    freeaddrinfo(found);
    if (!done)
        ws_close(ws);
    return done;
}

bool ws_send(struct ws *ws, int opcode, const uint8_t *payload, size_t length)
{
    uint8_t frame[8 + 66000];
    size_t head = 2;
    if (ws->socket < 0 || length > 65535)
        return false;
    frame[0] = (uint8_t)(0x80 | opcode);
    if (length < 126) {
        frame[1] = (uint8_t)(0x80 | length);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (uint8_t)(length >> 8);
        frame[3] = (uint8_t)length;
        head = 4;
    }
    uint8_t *mask = frame + head;
    if (getrandom(mask, 4, 0) != 4)
        return false;
    for (size_t i = 0; i < length; i++)
        frame[head + 4 + i] = payload[i] ^ mask[i % 4];
    return send_all(ws->socket, frame, head + 4 + length);
}

enum ws_got ws_next(struct ws *ws, int wait_ms, uint8_t *message, size_t *length, int *code)
{
    for (;;) {
        size_t head = 2, size = ws->have >= 2 ? ws->in[1] & 0x7f : 0;
        if (size == 126) {
            head = 4;
            size = ws->have >= 4 ? (size_t)ws->in[2] << 8 | ws->in[3] : 0;
        }
        *code = 0;
        if (ws->have >= 2 && (ws->in[1] & 0xff) == 127)
            return WS_CLOSED; /* longer than the daemon's messages are */
        if (ws->have >= 2 && ws->have >= head + size) {
            int opcode = ws->in[0] & 0x0f;
            memcpy(message, ws->in + head, size);
            take(ws, head + size);
            *length = size;
            if (opcode == 2)
                return WS_MESSAGE;
            if (opcode == 9)
                ws_send(ws, 10, message, size);
            if (opcode == 8) {
                *code = size >= 2 ? message[0] << 8 | message[1] : 0;
                ws_send(ws, 8, message, size >= 2 ? 2 : 0);
                return WS_CLOSED;
            }
            continue;
        }
        int got = receive(ws, wait_ms);
        if (got == 0)
            return WS_NOTHING;
        if (got < 0)
            return WS_CLOSED;
    }
}

void ws_close(struct ws *ws)
{
    if (ws->socket >= 0)
        close(ws->socket);
    ws->socket = -1;
}

/* -- store */

struct header { uint32_t crc, slots; uint64_t session, settled; };
struct head { uint32_t crc, length; uint64_t seq; };

static uint32_t crc32(uint32_t crc, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    for (crc = ~crc; length--; at++) {
        crc ^= *at;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static uint32_t header_crc(const struct header *header)
{
    return crc32(0, &header->slots, sizeof *header - 4);
}

static off_t place(const struct store *store, uint64_t seq)
{
    return (off_t)(2 * sizeof(struct header) + seq % store->slots * store->slot_bytes);
}

static bool write_header(struct store *store)
{
    struct header header = { 0, store->slots, store->session, store->settled };
    header.crc = header_crc(&header);
    store->odd = !store->odd;
    return pwrite(store->file, &header, sizeof header, store->odd ? sizeof header : 0) == sizeof header;
}

/* The slot of this number, if what is in it is whole. */
static bool read_slot(const struct store *store, uint64_t number, struct head *head, uint8_t *message)
{
    if (pread(store->file, head, sizeof *head, place(store, number)) != sizeof *head || !head->seq)
        return false;
    if (head->length > store->slot_bytes - sizeof *head)
        return false;
    off_t at = place(store, number) + (off_t)sizeof *head;
    if (pread(store->file, message, head->length, at) != (ssize_t)head->length)
        return false;
    return crc32(crc32(0, &head->length, sizeof *head - 4), message, head->length) == head->crc;
}

bool store_open(struct store *store, const char *path, uint32_t slots, uint32_t message_bytes)
{
    *store = (struct store){ .slots = slots, .slot_bytes = message_bytes + (uint32_t)sizeof(struct head), .next = 1 };
    store->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    /* A second process would use the same seqs. */
    if (store->file < 0 || flock(store->file, LOCK_EX | LOCK_NB))
        return false;
    struct header header[2];
    bool fresh = true;
    for (int i = 0; i < 2; i++) {
        bool there = pread(store->file, header + i, sizeof *header, i * (off_t)sizeof *header) == sizeof *header;
        if (there && header_crc(header + i) == header[i].crc && header[i].slots == slots) {
            fresh = false;
            store->session = header[i].session;
            if (header[i].settled >= store->settled) {
                store->settled = header[i].settled;
                store->odd = i;
            }
        }
    }
    if (fresh) {
        while (!store->session)
            if (getrandom(&store->session, sizeof store->session, 0) < 0)
                return false;
        if (ftruncate(store->file, 0) || !write_header(store) || !write_header(store) || fsync(store->file))
            return false;
    }
    uint8_t message[store->slot_bytes];
    store->next = store->settled + 1;
    store->lowest = 0;
    for (uint64_t number = 0; number < slots; number++) {
        struct head head;
        if (!read_slot(store, number, &head, message))
            continue;
        if (head.seq >= store->next)
            store->next = head.seq + 1;
        if (head.seq > store->settled && head.length && (!store->lowest || head.seq < store->lowest))
            store->lowest = head.seq;
    }
    if (!store->lowest)
        store->lowest = store->next;
    return true;
}

static bool write_slot(struct store *store, uint64_t seq, const uint8_t *message, size_t length)
{
    struct head head = { 0, (uint32_t)length, seq };
    head.crc = crc32(crc32(0, &head.length, sizeof head - 4), message, length);
    uint8_t slot[store->slot_bytes];
    memcpy(slot, &head, sizeof head);
    memcpy(slot + sizeof head, message, length);
    size_t size = sizeof head + length;
    return pwrite(store->file, slot, size, place(store, seq)) == (ssize_t)size;
}

bool store_keep(struct store *store, uint64_t seq, const uint8_t *message, size_t length)
{
    return length <= store->slot_bytes - sizeof(struct head) && write_slot(store, seq, message, length)
        && fdatasync(store->file) == 0;
}

size_t store_fetch(struct store *store, uint64_t seq, uint8_t *message, size_t max)
{
    struct head head;
    uint8_t slot[store->slot_bytes];
    if (seq <= store->settled || !read_slot(store, seq, &head, slot) || head.seq != seq || head.length > max)
        return 0;
    memcpy(message, slot, head.length);
    return head.length;
}

void store_drop(struct store *store, uint64_t seq)
{
    write_slot(store, seq, (const uint8_t *)"", 0);
}

void store_settle(struct store *store, uint64_t seq)
{
    store->settled = seq;
    write_header(store);
}
