"""The case A3 as SimPy users write it: a job process that a failure process interrupts.

Prints: replications, seconds, mean makespan in seconds, half-width of its 95 % interval, events (checkpoints and failures).
"""

import random
import statistics
import sys
import time

import simpy

WORK, INTERVAL, CHECKPOINT, RESTART, MTBF = 1e6, 1600, 60, 120, 20000
events = 0


def job(env):
    global events
    done, restarting = 0.0, False
    while done < WORK:
        work = min(INTERVAL, WORK - done)
        try:
            if restarting:
                yield env.timeout(RESTART)
                restarting = False
            yield env.timeout(work)
            yield env.timeout(CHECKPOINT)
            done += work
            events += 1
        except simpy.Interrupt:
            restarting = True
            events += 1


def failures(env, victim, draws):
    while True:
        yield env.timeout(draws.expovariate(1 / MTBF))
        victim.interrupt()


def replication(draws):
    env = simpy.Environment()
    victim = env.process(job(env))
    env.process(failures(env, victim, draws))
    env.run(until=victim)
    return env.now


replications = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
draws = random.Random(1)
begin = time.perf_counter()
makespans = [replication(draws) for _ in range(replications)]
seconds = time.perf_counter() - begin
half = 1.96 * statistics.stdev(makespans) / replications**0.5
print(replications, f"{seconds:.6f} {statistics.fmean(makespans):.1f} {half:.1f}", events)
