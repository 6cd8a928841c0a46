/* Where a model's weights lie, and how they get there. */
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "decoder.h"
#include "half.h"

enum { HUGE_PAGE = 2 << 20 };

int tonggan_best_kernels(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) return 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vnni")
               ? 2
               : 1;
#else
    return 0;
#endif
}

static const struct kernels *kernels_of(int kernels) {
#if defined(__x86_64__)
    if (kernels == 2) return &avx512_kernels;
    if (kernels == 1) return &avx2_kernels;
#endif
    (void)kernels;
    return &portable_kernels;
}

static void *zeroed(int64_t size, int64_t alignment) {
    void *result = NULL;
    size = (size + alignment - 1) / alignment * alignment;
    if (size == 0 || posix_memalign(&result, (size_t)alignment, (size_t)size) != 0) return NULL;
#if defined(__linux__)
    if (alignment == HUGE_PAGE) madvise(result, (size_t)size, MADV_HUGEPAGE); /* fewer address translations */
#endif
    memset(result, 0, (size_t)size);
    return result;
}

static int64_t padded(int64_t width) { return (width + BLOCK - 1) / BLOCK * BLOCK; }

static int num_matrices(const struct shape *shape) { return shape->num_layers * LAYER_MATRICES + 2; }

static int num_vectors(const struct shape *shape) { return shape->num_layers * LAYER_VECTORS + 1; }

static int64_t vector_size(const struct shape *shape, int number) {
    if (number == shape->num_layers * LAYER_VECTORS) return shape->dim;
    switch (number % LAYER_VECTORS) {
    case QUERY_BIAS: return (int64_t)shape->num_heads * shape->head_dim;
    case KEY_BIAS:
    case VALUE_BIAS: return (int64_t)shape->num_key_value_heads * shape->head_dim;
    default: return shape->dim;
    }
}

static struct matrix describe(const struct shape *shape, int number, enum format format) {
    const int64_t query_size = (int64_t)shape->num_heads * shape->head_dim;
    const int64_t key_size = (int64_t)shape->num_key_value_heads * shape->head_dim;
    struct matrix matrix = {.format = format, .num_rows = shape->vocab_size, .num_columns = shape->dim, .unit = 1};
    if (number < shape->num_layers * LAYER_MATRICES) {
        const int64_t rows[] = {query_size, key_size, key_size, shape->dim, shape->intermediate_size,
                                shape->intermediate_size, shape->dim};
        const int kind = number % LAYER_MATRICES;
        matrix.num_rows = rows[kind];
        matrix.num_columns = kind == OUTPUT ? query_size : kind == DOWN ? shape->intermediate_size : shape->dim;
        /* What comes of gate and up together is quantized by whole groups. */
        if (kind == GATE || kind == UP) matrix.unit = GROUP / TILE_ROWS;
    }
    matrix.tile_bytes = padded(matrix.num_columns) / BLOCK * block_bytes(format);
    matrix.unit_bytes = matrix.unit * matrix.tile_bytes;
    matrix.num_bytes = first_unit(&matrix, 1, 1) * matrix.unit_bytes;
    return matrix;
}

static int64_t units_of(const struct matrix *matrix, int thread, int num_threads) {
    return first_unit(matrix, thread + 1, num_threads) - first_unit(matrix, thread, num_threads);
}

/* Units of gate and up, side by side, are read in turns. */
static void interleave(struct matrix *gate, struct matrix *up, int num_threads) {
    for (int thread = 0; thread < num_threads; thread++) up->shares[thread] = gate->shares[thread] + gate->unit_bytes;
    gate->unit_bytes = up->unit_bytes = gate->unit_bytes + up->unit_bytes;
}

/* A format below zero is that of a matrix that is another's twin: embeddings that are tied to the head. */
static bool place_weights(struct decoder *decoder, const int32_t *formats) {
    const struct shape *shape = &decoder->shape;
    const int count = num_matrices(shape);
    uint8_t **shares = calloc((size_t)count * (size_t)shape->num_threads, sizeof *shares);
    if (shares == NULL) return false;
    const bool tied = formats[count - 1] < 0;
    for (int number = 0; number < count; number++) {
        const bool twin = tied && number == count - 1;
        decoder->matrices[number] = describe(shape, number, (enum format)formats[twin ? number - 1 : number]);
        decoder->matrices[number].shares = shares + (twin ? number - 1 : number) * shape->num_threads;
    }
    decoder->matrices[0].shares = shares;
    decoder->weights = zeroed(tonggan_weight_bytes(decoder), HUGE_PAGE);
    if (decoder->weights == NULL) return false;
    uint8_t *place = decoder->weights;
    /* Each thread's weights lie in the order in which it reads them, so that reading ahead crosses matrices. */
    for (int thread = 0; thread < shape->num_threads; thread++)
        for (int number = 0; number < count - tied; number++) {
            const struct matrix *matrix = &decoder->matrices[number];
            matrix->shares[thread] = place;
            place += units_of(matrix, thread, shape->num_threads) * matrix->unit_bytes;
        }
    for (int layer = 0; layer < shape->num_layers; layer++)
        interleave(&decoder->matrices[layer * LAYER_MATRICES + GATE], &decoder->matrices[layer * LAYER_MATRICES + UP],
                   shape->num_threads);
    return true;
}

int64_t tonggan_weight_bytes(const struct decoder *decoder) {
    const int count = num_matrices(&decoder->shape);
    int64_t size = 0;
    for (int number = 0; number < count; number++) {
        const struct matrix *matrix = &decoder->matrices[number];
        const bool twin = number == count - 1 && matrix->shares == decoder->matrices[number - 1].shares;
        if (!twin) size += matrix->num_bytes;
    }
    return size;
}

static bool create_activations(struct activations *activations, int64_t width) {
    activations->width = padded(width);
    const int64_t group_bytes = MAX_TOKENS * activations->width / GROUP * 4;
    activations->values = zeroed(MAX_TOKENS * activations->width, 64);
    activations->scales = zeroed(group_bytes, 64);
    activations->sums = zeroed(group_bytes, 64);
    activations->int8_starts = zeroed(group_bytes, 64);
    activations->int4_starts = zeroed(group_bytes, 64);
    return activations->values != NULL && activations->scales != NULL && activations->sums != NULL &&
           activations->int8_starts != NULL && activations->int4_starts != NULL;
}

static void free_activations(struct activations *activations) {
    free(activations->values);
    free(activations->scales);
    free(activations->sums);
    free(activations->int8_starts);
    free(activations->int4_starts);
}

static bool create_buffers(struct decoder *decoder) {
    const struct shape *shape = &decoder->shape;
    const int64_t query_size = (int64_t)shape->num_heads * shape->head_dim;
    const int64_t widest = shape->dim > query_size ? shape->dim : query_size;
    decoder->hidden = zeroed(MAX_TOKENS * 4LL * shape->dim, 64);
    decoder->queries = zeroed(MAX_TOKENS * 4LL * query_size, 64);
    decoder->gates = zeroed(MAX_TOKENS * 4LL * shape->intermediate_size, 64);
    decoder->rotary = zeroed(4LL * shape->max_length * shape->head_dim, 64);
    decoder->scratch = calloc((size_t)shape->num_threads, sizeof *decoder->scratch);
    if (decoder->hidden == NULL || decoder->queries == NULL || decoder->gates == NULL || decoder->rotary == NULL ||
        decoder->scratch == NULL || !create_activations(&decoder->inner, shape->intermediate_size))
        return false;
    for (int thread = 0; thread < shape->num_threads; thread++) {
        struct scratch *scratch = &decoder->scratch[thread];
        scratch->wide = zeroed(4 * widest, 64);
        if (scratch->wide == NULL || !create_activations(&scratch->normalized, shape->dim) ||
            !create_activations(&scratch->attended, query_size))
            return false;
    }
    for (int number = 0; number < num_vectors(shape); number++) {
        decoder->vectors[number] = zeroed(4 * vector_size(shape, number), 64);
        if (decoder->vectors[number] == NULL) return false;
    }
    return true;
}

struct decoder *tonggan_create(const struct shape *shape, const int32_t *formats, int kernels) {
    struct decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL) return NULL;
    decoder->shape = *shape;
    decoder->kernels = kernels_of(kernels);
    decoder->matrices = calloc((size_t)num_matrices(shape), sizeof *decoder->matrices);
    decoder->vectors = calloc((size_t)num_vectors(shape), sizeof *decoder->vectors);
    if (decoder->matrices == NULL || decoder->vectors == NULL || !place_weights(decoder, formats) ||
        !create_buffers(decoder) || (decoder->threads = threads_create(shape->num_threads)) == NULL) {
        tonggan_free(decoder);
        return NULL;
    }
    return decoder;
}

void tonggan_free(struct decoder *decoder) {
    if (decoder->threads != NULL) threads_free(decoder->threads);
    if (decoder->matrices != NULL) free(decoder->matrices[0].shares);
    for (int number = 0; decoder->vectors != NULL && number < num_vectors(&decoder->shape); number++)
        free(decoder->vectors[number]);
    for (int thread = 0; decoder->scratch != NULL && thread < decoder->shape.num_threads; thread++) {
        free_activations(&decoder->scratch[thread].normalized);
        free_activations(&decoder->scratch[thread].attended);
        free(decoder->scratch[thread].wide);
    }
    free_activations(&decoder->inner);
    free(decoder->scratch);
    free(decoder->matrices);
    free(decoder->vectors);
    free(decoder->rotary);
    free(decoder->weights);
    free(decoder->hidden);
    free(decoder->queries);
    free(decoder->gates);
    free(decoder->partials);
    free(decoder);
}

static uint8_t *tile_at(const struct decoder *decoder, const struct matrix *matrix, int64_t tile) {
    const int64_t unit = tile / matrix->unit;
    int thread = 0;
    while (unit >= first_unit(matrix, thread + 1, decoder->shape.num_threads)) thread++;
    const int64_t before = first_unit(matrix, thread, decoder->shape.num_threads);
    return matrix->shares[thread] + (unit - before) * matrix->unit_bytes + tile % matrix->unit * matrix->tile_bytes;
}

/* The places of one row's group in a tile: its scale, its minimum, and its words of four bytes, 64 bytes apart. */
struct place {
    uint8_t *scale;
    uint8_t *minimum;
    uint8_t *words;
    int num_words;
};

static struct place locate(uint8_t *tile, enum format format, int64_t row, int64_t group) {
    const int64_t odd = group % 2;
    uint8_t *block = tile + group / 2 * block_bytes(format);
    uint8_t *scale = block + (odd * TILE_ROWS + row) * 2;
    return (struct place){
        .scale = scale,
        .minimum = scale + BLOCK / GROUP * TILE_ROWS * 2,
        .words = block + header_bytes(format) + odd * quant_bytes(format) / 2 + row * 4,
        .num_words = (int)(quant_bytes(format) / 2 / (TILE_ROWS * 4)),
    };
}

void tonggan_set_matrix(struct decoder *decoder, int number, const uint8_t *blocks) {
    const struct matrix *matrix = &decoder->matrices[number];
    for (int64_t row = 0; row < matrix->num_rows; row++) {
        uint8_t *tile = tile_at(decoder, matrix, row / TILE_ROWS);
        for (int64_t group = 0; group < matrix->num_columns / GROUP; group++) {
            const struct place place = locate(tile, matrix->format, row % TILE_ROWS, group);
            const uint8_t *quants = blocks + 2;
            memcpy(place.scale, blocks, 2);
            if (matrix->format == FORMAT_INT4_MINIMUM) {
                memcpy(place.minimum, blocks + 2, 2);
                quants += 2;
            }
            for (int word = 0; word < place.num_words; word++)
                memcpy(place.words + word * TILE_ROWS * 4, quants + word * 4, 4);
            blocks += gguf_block_bytes(matrix->format);
        }
    }
}

void tonggan_set_vector(struct decoder *decoder, int number, const float *values) {
    memcpy(decoder->vectors[number], values, 4 * (size_t)vector_size(&decoder->shape, number));
}

void tonggan_set_rotary(struct decoder *decoder, const float *values) {
    memcpy(decoder->rotary, values, 4 * (size_t)decoder->shape.max_length * (size_t)decoder->shape.head_dim);
}

static void read_group(struct place place, enum format format, float *result) {
    uint16_t half;
    memcpy(&half, place.scale, 2);
    const float scale = half_to_float(half);
    memcpy(&half, format == FORMAT_INT4_MINIMUM ? place.minimum : place.scale, 2);
    const float minimum = half_to_float(half);
    for (int byte = 0; byte < place.num_words * 4; byte++) {
        const uint8_t value = place.words[byte / 4 * TILE_ROWS * 4 + byte % 4];
        if (format == FORMAT_INT8) {
            result[byte] = scale * (int8_t)value;
        } else if (format == FORMAT_INT4) {
            result[byte] = scale * ((value & 15) - 8);
            result[byte + GROUP / 2] = scale * ((value >> 4) - 8);
        } else {
            result[byte] = scale * (value & 15) + minimum;
            result[byte + GROUP / 2] = scale * (value >> 4) + minimum;
        }
    }
}

void tonggan_read_rows(const struct decoder *decoder, int number, int64_t num_rows, const int64_t *rows,
                       float *result) {
    const struct matrix *matrix = &decoder->matrices[number];
    for (int64_t index = 0; index < num_rows; index++) {
        uint8_t *tile = tile_at(decoder, matrix, rows[index] / TILE_ROWS);
        for (int64_t group = 0; group < matrix->num_columns / GROUP; group++) {
            read_group(locate(tile, matrix->format, rows[index] % TILE_ROWS, group), matrix->format, result);
            result += GROUP;
        }
    }
}
