/* Word vectors by skip-gram with negative sampling (Mikolov et al. 2013): one pass over sentences, on one thread.
 *
 * What is drawn follows from the seed alone. What a word is, how often it occurs and when passes end is decided by the
 * caller.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

enum { LANES = 16, SIGMOID_STEPS = 1024 };
#define SIGMOID_END 6.0f /* scores beyond are learned well enough, or hopeless: as in the authors' program */

/* The same layout as class SkipGram of encoders/word2vec.py. */
struct skip_gram {
    float *inputs;  /* [num_words][width]: the vectors */
    float *outputs; /* [num_words][width]: what they are multiplied with; width is a multiple of LANES */
    int64_t width;
    const int32_t *words;  /* of all sentences */
    const int64_t *starts; /* [num_sentences + 1]: where each begins among the words, and the end */
    int64_t num_sentences;
    const float *kept;       /* [num_words]: probability that an occurrence of a word counts (subsampling) */
    const float *alias_odds; /* [num_words]: of Walker's alias method, which draws the negatives */
    const int32_t *aliases;  /* [num_words] */
    int32_t num_words;
    int32_t window;
    int32_t negatives;
    float first_rate; /* the learning rate falls from word to word, from the first to the last */
    float last_rate;
    uint64_t seed; /* replaced by that of the next pass */
};

typedef float floats __attribute__((vector_size(4 * LANES), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t next_random(uint64_t *state) { /* xorshift64*, whose upper bits are the good ones */
    uint64_t value = *state;
    value ^= value >> 12;
    value ^= value << 25;
    value ^= value >> 27;
    *state = value;
    return value * 2685821657736338717u;
}

INLINE uint32_t below(uint64_t *state, uint32_t end) { return (uint32_t)(((next_random(state) >> 32) * end) >> 32); }

INLINE float fraction(uint64_t *state) { return (float)(next_random(state) >> 40) * 0x1p-24f; }

INLINE float dot(const float *one, const float *other, int64_t width) {
    floats sums = {0};
    for (int64_t place = 0; place < width; place += LANES)
        sums += *(const floats *)(one + place) * *(const floats *)(other + place);
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    return sum;
}

/* One input word against its context, which is true, and words drawn at random, which are not. */
INLINE void learn(const struct skip_gram *job, uint64_t *state, const float *sigmoid, int32_t word, int32_t context,
                  float rate, float *change) {
    const int64_t width = job->width;
    float *input = job->inputs + word * width;
    memset(change, 0, width * sizeof *change);
    for (int draw = 0; draw <= job->negatives; draw++) {
        int32_t target = context;
        if (draw) {
            target = (int32_t)below(state, job->num_words);
            if (fraction(state) >= job->alias_odds[target]) target = job->aliases[target];
            if (target == context) continue;
        }
        float *output = job->outputs + target * width;
        const float score = dot(input, output, width);
        if (!(score > -SIGMOID_END && score < SIGMOID_END)) continue;
        const float found = sigmoid[(int)((score + SIGMOID_END) * (SIGMOID_STEPS / (2 * SIGMOID_END)))];
        const float step = ((draw ? 0.0f : 1.0f) - found) * rate;
        for (int64_t place = 0; place < width; place += LANES) {
            floats *into = (floats *)(output + place);
            *(floats *)(change + place) += step * *into;
            *into += step * *(const floats *)(input + place);
        }
    }
    for (int64_t place = 0; place < width; place += LANES)
        *(floats *)(input + place) += *(const floats *)(change + place);
}

INLINE void pass(struct skip_gram *job, const float *sigmoid, int32_t *sentence, float *change) {
    uint64_t state = job->seed;
    const double all = (double)job->starts[job->num_sentences];
    for (int64_t number = 0; number < job->num_sentences; number++) {
        const int64_t start = job->starts[number], end = job->starts[number + 1];
        const float rate = job->first_rate + (job->last_rate - job->first_rate) * (float)(start / all);
        int64_t length = 0;
        for (int64_t place = start; place < end; place++) {
            const int32_t word = job->words[place];
            if (job->kept[word] >= 1 || fraction(&state) < job->kept[word]) sentence[length++] = word;
        }
        for (int64_t center = 0; center < length; center++) {
            const int64_t reach = job->window - (int64_t)below(&state, job->window);
            const int64_t first = center > reach ? center - reach : 0;
            const int64_t last = center + reach < length ? center + reach : length - 1;
            for (int64_t place = first; place <= last; place++)
                if (place != center) learn(job, &state, sigmoid, sentence[place], sentence[center], rate, change);
        }
    }
    job->seed = state;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void pass_avx2(struct skip_gram *job, const float *sigmoid,
                                                          int32_t *sentence, float *change) {
    pass(job, sigmoid, sentence, change);
}

__attribute__((target("avx512f,avx2,fma"))) static void pass_avx512(struct skip_gram *job, const float *sigmoid,
                                                                    int32_t *sentence, float *change) {
    pass(job, sigmoid, sentence, change);
}
#endif

/* One pass; -1 where the system gives no memory. */
int tonggan_skip_gram(struct skip_gram *job) {
    int64_t longest = 1;
    for (int64_t number = 0; number < job->num_sentences; number++) {
        const int64_t length = job->starts[number + 1] - job->starts[number];
        if (length > longest) longest = length;
    }
    int32_t *sentence = malloc(longest * sizeof *sentence);
    float *change = malloc(job->width * sizeof *change);
    const bool is_there = sentence && change;
    if (is_there) {
        float sigmoid[SIGMOID_STEPS];
        for (int step = 0; step < SIGMOID_STEPS; step++)
            sigmoid[step] = 1 / (1 + expf(SIGMOID_END - (step + 0.5f) * (2 * SIGMOID_END / SIGMOID_STEPS)));
        const int kernels = tonggan_best_kernels();
#if defined(__x86_64__)
        if (kernels == 2) pass_avx512(job, sigmoid, sentence, change);
        else if (kernels == 1) pass_avx2(job, sigmoid, sentence, change);
        else
#endif
            pass(job, sigmoid, sentence, change);
        (void)kernels;
    }
    free(sentence);
    free(change);
    return is_there ? 0 : -1;
}
