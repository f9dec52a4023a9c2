// Questions and orders about single devices: their facts, commands and desired configuration.

import type { DeviceInfo } from '../wire';
import type { Command, Commands, Desired, DevicePatch, NewCommand } from '../wire_devices';
import { get, patch, post, put } from './http';

const path = (id: string): string => `api/v1/devices/${encodeURIComponent(id)}`;

export const facts = (id: string): Promise<DeviceInfo> => get(path(id));

export const change = (id: string, wanted: DevicePatch): Promise<DeviceInfo> => patch(path(id), wanted);

/** Devices that nobody has accepted yet. */
export const newcomers = async (): Promise<DeviceInfo[]> =>
  (await get<{ devices: DeviceInfo[] }>('api/v1/devices?known=false')).devices;

export const accept = (ids: readonly string[]): Promise<unknown> => post('api/v1/devices/known', { ids });

export const commands = (id: string, before: number | null, limit: number): Promise<Commands> =>
  get(`${path(id)}/commands?limit=${limit}${before === null ? '' : `&before=${before}`}`);

export const send = (id: string, command: NewCommand): Promise<Command> => post(`${path(id)}/commands`, command);

export const cancel = (id: number, by: string): Promise<unknown> => post(`api/v1/commands/${id}/cancel`, { by });

export const desired = (id: string): Promise<Desired> => get(`${path(id)}/desired`);

export const desire = (id: string, document: object, by: string): Promise<Desired> =>
  put(`${path(id)}/desired`, { document, by });
