// A real Mosquitto, and what is published there.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answers, freePort } from './daemon.mjs';

const listens = (port) =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => done(true)).once('error', () => done(false));
    socket.once('connect', () => socket.destroy());
  });

export class Mosquitto {
  static async start() {
    const broker = new Mosquitto();
    broker.port = await freePort();
    broker.url = `mqtt://127.0.0.1:${broker.port}`;
    broker.data = mkdtempSync(join(tmpdir(), 'tidegate-broker-'));
    const lines = [`listener ${broker.port} 127.0.0.1`, 'allow_anonymous true', 'max_queued_messages 0'];
    writeFileSync(join(broker.data, 'mosquitto.conf'), `${lines.join('\n')}\n`);
    await broker.restart();
    return broker;
  }

  async restart() {
    this.process = spawn('mosquitto', ['-c', join(this.data, 'mosquitto.conf')], { stdio: 'ignore' });
    await answers('the broker', this.process, () => listens(this.port));
  }

  /** With QoS 1: the broker has it when this is done. */
  publish(topic, payload) {
    const flags = ['-h', '127.0.0.1', '-p', String(this.port), '-q', '1', '-t', topic, '-s'];
    const publisher = spawn('mosquitto_pub', flags, { stdio: ['pipe', 'ignore', 'inherit'] });
    publisher.stdin.end(payload);
    return new Promise((done, fail) =>
      publisher.once('exit', (code) => (code === 0 ? done() : fail(new Error(`mosquitto_pub: ${code}`)))),
    );
  }

  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    await new Promise((done) => {
      this.process.once('exit', done);
      this.process.kill('SIGKILL');
    });
  }

  async end() {
    await this.kill();
    rmSync(this.data, { recursive: true, force: true });
  }
}
