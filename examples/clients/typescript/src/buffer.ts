/**
 * What is not settled yet, in one file that only grows, and is written anew when most of it is settled.
 *
 *     file   = record*
 *     record = len u32 | crc32 u32 of all that follows | kind u8 | seq u64 | message (len bytes)
 *     kind   = 'S' the session (in `seq`; the message is the next seq, 8 bytes): the first record
 *              'B' a batch   'D' all up to seq is settled   'X' this one is gone
 *
 * Integers are little-endian. `keep` returns after fdatasync: a seq that was sent and forgotten would be used again
 * for other readings, which the daemon would take for a batch that it has. 'D' and 'X' are not synced: what comes
 * back after a power cut is sent again, and enters once. An incomplete record at the end was never kept.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "./crc32.js";

const HEAD = 17;
/** Below this size the file is left as it is. */
const REWRITE_BYTES = 1 << 20;
type Kind = "S" | "B" | "D" | "X";

export class BatchBuffer {
  /** Drawn once for the life of the file. */
  session = 0n;
  next = 1;
  /** Locked while it is open. */
  private alone: number;
  private file: number;
  private fileBytes = 0;
  /** In the order of seqs. */
  private held = new Map<number, Buffer>();
  private heldBytes = 0;

  /** Throws if another process has this file. */
  constructor(
    private path: string,
    readonly heldMax: number,
  ) {
    this.alone = locked(path);
    this.file = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    this.read();
    if (this.session === 0n) {
      while (this.session === 0n) this.session = randomBytes(8).readBigUInt64LE();
      this.rewrite();
    }
  }

  private read(): void {
    const bytes = fs.readFileSync(this.path);
    let at = 0;
    for (let it = record(bytes, at); it; it = record(bytes, at)) {
      at += HEAD + it.message.length;
      const seq = Number(it.seq);
      if (it.kind === "S") {
        this.session = it.seq;
        this.next = Number(it.message.readBigUInt64LE());
      } else if (it.kind === "B") {
        this.push(seq, Buffer.from(it.message));
        this.next = seq + 1;
      } else if (it.kind === "D") {
        this.forgetTo(seq);
      } else {
        this.forget(seq);
      }
    }
    this.fileBytes = at;
    fs.ftruncateSync(this.file, at);
  }

  get size(): number {
    return this.held.size;
  }

  /** The lowest seq that is held; the next one if none is. */
  lowest(): number {
    return this.held.keys().next().value ?? this.next;
  }

  /** What is held, the lowest seq first. */
  all(): IterableIterator<[number, Buffer]> {
    return this.held.entries();
  }

  get(seq: number): Buffer | undefined {
    return this.held.get(seq);
  }

  /** Numbers a batch and keeps it on disk; tells which were given up for it. */
  keep(encode: (seq: number) => Buffer): { seq: number; givenUp: number[] } {
    const seq = this.next;
    const message = encode(seq);
    this.append("B", seq, message);
    fs.fdatasyncSync(this.file);
    this.next += 1;
    this.push(seq, message);
    const givenUp: number[] = [];
    while (this.held.size > this.heldMax) {
      const oldest = this.lowest();
      this.drop(oldest);
      givenUp.push(oldest);
    }
    return { seq, givenUp };
  }

  /** All up to `seq` is settled. */
  settle(seq: number): void {
    if (this.held.size && this.lowest() <= seq) {
      this.forgetTo(seq);
      this.note("D", seq);
    }
  }

  /** This one is gone. Whether it was there. */
  drop(seq: number): boolean {
    if (!this.forget(seq)) return false;
    this.note("X", seq);
    return true;
  }

  close(): void {
    fs.closeSync(this.file);
    fs.closeSync(this.alone);
  }

  private note(kind: Kind, seq: number): void {
    this.append(kind, seq, Buffer.alloc(0));
    if (this.fileBytes > REWRITE_BYTES && this.fileBytes > 2 * this.heldBytes) this.rewrite();
  }

  /** At the end of what is whole: a part that a failed write left is overwritten. */
  private append(kind: Kind, seq: number, message: Buffer): void {
    const bytes = encoded(kind, BigInt(seq), message);
    for (let written = 0; written < bytes.length; ) {
      written += fs.writeSync(this.file, bytes, written, bytes.length - written, this.fileBytes + written);
    }
    this.fileBytes += bytes.length;
  }

  /** Writes what is held into a new file, which takes the old one's place as a whole. */
  private rewrite(): void {
    const next = Buffer.alloc(8);
    next.writeBigUInt64LE(BigInt(this.next));
    const batches = [...this.held].map(([seq, message]) => encoded("B", BigInt(seq), message));
    const bytes = Buffer.concat([encoded("S", this.session, next), ...batches]);
    const fresh = fs.openSync(`${this.path}.new`, "w+", 0o600);
    fs.writeFileSync(fresh, bytes);
    fs.fdatasyncSync(fresh);
    fs.renameSync(`${this.path}.new`, this.path);
    const folder = fs.openSync(dirname(this.path), "r");
    fs.fsyncSync(folder);
    fs.closeSync(folder);
    fs.closeSync(this.file);
    this.file = fresh;
    this.fileBytes = bytes.length;
  }

  private push(seq: number, message: Buffer): void {
    this.held.set(seq, message);
    this.heldBytes += HEAD + message.length;
  }

  private forget(seq: number): boolean {
    this.heldBytes -= this.held.has(seq) ? HEAD + (this.held.get(seq)?.length ?? 0) : 0;
    return this.held.delete(seq);
  }

  private forgetTo(last: number): void {
    for (const seq of this.held.keys()) {
      if (seq > last) break;
      this.forget(seq);
    }
  }
}

/**
 * Locks the file beside a buffer, and returns it: a second process would use the same seqs. The lock ends with the
 * process, however that ends.
 */
function locked(path: string): number {
  const file = fs.openSync(`${path}.lock`, "a", 0o600);
  // Node has no flock(2). The lock is of the open file, which the command shares with this process and leaves to it.
  const { status, error } = spawnSync("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", file] });
  if (status === 0) return file;
  fs.closeSync(file);
  throw new Error(error ? `${path} can't be locked: flock: ${error.message}` : `another process has this buffer: ${path}`);
}

function encoded(kind: Kind, seq: bigint, message: Buffer): Buffer {
  const bytes = Buffer.alloc(HEAD + message.length);
  bytes.writeUInt32LE(message.length, 0);
  bytes.write(kind, 8, "latin1");
  bytes.writeBigUInt64LE(seq, 9);
  message.copy(bytes, HEAD);
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
  return bytes;
}

/** The record at `at`, if it is whole. */
function record(bytes: Buffer, at: number): { kind: string; seq: bigint; message: Buffer } | undefined {
  if (at + HEAD > bytes.length) return undefined;
  const end = at + HEAD + bytes.readUInt32LE(at);
  if (end > bytes.length || crc32(bytes.subarray(at + 8, end)) !== bytes.readUInt32LE(at + 4)) return undefined;
  const kind = bytes.toString("latin1", at + 8, at + 9);
  return { kind, seq: bytes.readBigUInt64LE(at + 9), message: bytes.subarray(at + HEAD, end) };
}
