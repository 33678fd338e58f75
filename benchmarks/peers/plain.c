/* The case A3 as a plain loop: one step a segment, exponential failures in work, checkpoint and restart.
 * Prints: replications, seconds, mean makespan in seconds, half-width of its 95 % interval, events (checkpoints and failures). */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const double WORK = 1e6, INTERVAL = 1600, CHECKPOINT = 60, RESTART = 120, MTBF = 20000;

static uint64_t state[4];

static uint64_t rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }

/* xoshiro256+ (Blackman and Vigna, 2018); the upper bits make the double. */
static double uniform(void) {
  uint64_t sum = state[0] + state[3], shifted = state[1] << 17;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = rotated(state[3], 45);
  return ((sum >> 11) + 1) * 0x1p-53;
}

static void seed(uint64_t x) {
  for (int i = 0; i < 4; i++) { /* splitmix64 */
    uint64_t z = (x += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    state[i] = z ^ z >> 31;
  }
}

int main(int count, char **words) {
  long replications = count > 1 ? atol(words[1]) : 10000;
  double sum = 0, squares = 0;
  unsigned long long events = 0;
  struct timespec begin, end;
  seed(1);
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (long i = 0; i < replications; i++) {
    double now = 0, done = 0, failure = -MTBF * log(uniform());
    while (done < WORK) {
      double work = WORK - done < INTERVAL ? WORK - done : INTERVAL, at = now + work + CHECKPOINT;
      events++;
      if (at <= failure) {
        now = at;
        done += work;
        continue;
      }
      for (;;) { /* restarts are struck too */
        now = failure;
        failure = now - MTBF * log(uniform());
        if (failure >= now + RESTART) break;
        events++;
      }
      now += RESTART;
    }
    sum += now;
    squares += now * now;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  double mean = sum / replications;
  double sd = sqrt((squares - replications * mean * mean) / (replications - 1));
  printf("%ld %.6f %.1f %.1f %llu\n", replications,
         (end.tv_sec - begin.tv_sec) + (end.tv_nsec - begin.tv_nsec) * 1e-9, mean,
         1.96 * sd / sqrt(replications), events);
}
