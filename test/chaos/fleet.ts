/**
 * Processes of one kind that are killed and started again. Whoever ends without having been told to,
 * or otherwise than with exit code 0 when told, is a surprise, and remembered with the end of its log.
 */
import type { Exit, ServiceProcess } from '../stack/service.ts';

export interface Surprise {
  name: string;
  exit: Exit;
  log: string;
}

export class Fleet {
  readonly surprises: Surprise[] = [];
  readonly #start: (name: string, life: number) => ServiceProcess;
  readonly #members = new Map<string, { service: ServiceProcess; doomed: boolean }>();
  #lives = 0;
  #kills = 0;

  constructor(start: (name: string, life: number) => ServiceProcess) {
    this.#start = start;
  }

  get kills(): number {
    return this.#kills;
  }

  get names(): string[] {
    return [...this.#members.keys()];
  }

  member(name: string): ServiceProcess {
    return this.#members.get(name)!.service;
  }

  start(name: string): ServiceProcess {
    const service = this.#start(name, ++this.#lives);
    const member = { service, doomed: false };
    this.#members.set(name, member);
    void service.exited.then((exit) => {
      if (!member.doomed) this.#surprised(name, service, exit);
    });
    return service;
  }

  /** SIGKILL; resolves when the process is gone. One that was gone already does not count. */
  async kill(name: string): Promise<void> {
    const member = this.#members.get(name)!;
    member.doomed = true;
    member.service.signal('SIGKILL');
    const { signal } = await member.service.exited;
    if (signal === 'SIGKILL') this.#kills++;
  }

  /** SIGTERM to one, which is no member any more; its exit. */
  leave(name: string): Promise<Exit> {
    const member = this.#members.get(name)!;
    member.doomed = true;
    this.#members.delete(name);
    return this.#stop(name, member.service);
  }

  /** SIGTERM to all; their exits by name. */
  async stop(): Promise<Map<string, Exit>> {
    const exits = [...this.#members].map(async ([name, member]) => {
      member.doomed = true;
      return [name, await this.#stop(name, member.service)] as const;
    });
    return new Map(await Promise.all(exits));
  }

  async #stop(name: string, service: ServiceProcess): Promise<Exit> {
    await service.begun();
    const exit = await service.stop();
    if (exit.code !== 0) this.#surprised(name, service, exit);
    return exit;
  }

  #surprised(name: string, service: ServiceProcess, exit: Exit): void {
    this.surprises.push({ name, exit, log: service.logTail() });
  }
}
