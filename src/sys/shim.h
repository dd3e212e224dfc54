// The C surface that Rust calls: a guarded twin of each upstream function.
//
// Every twin returns an lk_status and hands its result out through a pointer. Inside a twin a C++
// exception or a failed upstream assertion on the calling thread becomes a status and a message.
#ifndef LLAMAKIT_SHIM_H
#define LLAMAKIT_SHIM_H

#include "llama.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t lk_status;

#define LK_OK        0
#define LK_EXCEPTION 1 // a C++ exception was caught
#define LK_ASSERT    2 // an upstream assertion failed and was turned into an error

// Text of this thread's last status other than LK_OK; valid until the next twin on this thread.
const char * lk_last_message(void);

// Runtime. lk_init must run once before any other twin.
lk_status lk_init(ggml_log_callback log);
lk_status lk_system_info(const char ** out);
lk_status lk_device_count(size_t * out);
lk_status lk_device_get(size_t index, ggml_backend_dev_t * out);
lk_status lk_device_props(ggml_backend_dev_t device, struct ggml_backend_dev_props * out);
lk_status lk_device_backend(ggml_backend_dev_t device, const char ** out);

// Models
struct lk_model_info {
    int32_t  n_ctx_train;
    int32_t  n_embd;
    int32_t  n_embd_inp;
    int32_t  n_embd_out;
    int32_t  n_layer;
    int32_t  n_layer_nextn;
    int32_t  n_head;
    int32_t  n_head_kv;
    int32_t  n_swa;
    int32_t  n_expert;
    int32_t  rope_type;
    float    rope_freq_scale_train;
    uint32_t n_cls_out;
    int32_t  ftype;
    uint64_t size;
    uint64_t n_params;
    int32_t  decoder_start_token;
    bool     has_encoder;
    bool     has_decoder;
    bool     is_recurrent;
    bool     is_hybrid;
    bool     is_diffusion;
};

lk_status lk_model_default_params(struct llama_model_params * out);
// Loads from an open file: a descriptor on Unix, a HANDLE on Windows. The caller keeps its own.
lk_status lk_model_load_from_handle(intptr_t handle, const struct llama_model_params * params, struct llama_model ** out);
lk_status lk_model_load_from_splits(const char ** paths, size_t n_paths, const struct llama_model_params * params, struct llama_model ** out);
lk_status lk_model_free(struct llama_model * model);
lk_status lk_model_get_info(const struct llama_model * model, struct lk_model_info * out);
lk_status lk_model_desc(const struct llama_model * model, char * buf, size_t size, int32_t * out);
lk_status lk_model_ftype_name(const struct llama_model * model, const char ** out);
lk_status lk_model_chat_template(const struct llama_model * model, const char * name, const char ** out);
lk_status lk_model_cls_label(const struct llama_model * model, uint32_t index, const char ** out);
lk_status lk_model_meta_count(const struct llama_model * model, int32_t * out);
lk_status lk_model_meta_key_by_index(const struct llama_model * model, int32_t index, char * buf, size_t size, int32_t * out);
lk_status lk_model_meta_val_by_index(const struct llama_model * model, int32_t index, char * buf, size_t size, int32_t * out);

// Vocabulary
struct lk_vocab_info {
    int32_t     type;
    int32_t     n_tokens;
    llama_token bos, eos, eot, sep, nl, pad, mask;
    llama_token fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep;
    bool        add_bos, add_eos, add_sep;
};

struct lk_token_info {
    const char * text; // lives as long as the model
    float        score;
    int32_t      attr;
    bool         is_eog;
    bool         is_control;
};

lk_status lk_model_get_vocab(const struct llama_model * model, const struct llama_vocab ** out);
lk_status lk_vocab_get_info(const struct llama_vocab * vocab, struct lk_vocab_info * out);
lk_status lk_vocab_token_info(const struct llama_vocab * vocab, llama_token token, struct lk_token_info * out);
lk_status lk_tokenize(const struct llama_vocab * vocab, const char * text, int32_t text_len, llama_token * tokens, int32_t n_tokens_max, bool add_special, bool parse_special, int32_t * out);
lk_status lk_token_to_piece(const struct llama_vocab * vocab, llama_token token, char * buf, int32_t length, int32_t lstrip, bool special, int32_t * out);
lk_status lk_detokenize(const struct llama_vocab * vocab, const llama_token * tokens, int32_t n_tokens, char * text, int32_t text_len_max, bool remove_special, bool unparse_special, int32_t * out);

// Contexts
struct lk_context_info {
    uint32_t n_ctx;
    uint32_t n_ctx_seq;
    uint32_t n_batch;
    uint32_t n_ubatch;
    uint32_t n_seq_max;
    uint32_t n_rs_seq;
    int32_t  pooling_type;
    bool     has_memory;
    bool     can_shift;
};

struct lk_memory_entry {
    const char * buffer_type; // lives as long as the process
    bool         is_host;
    size_t       model;
    size_t       context;
    size_t       compute;
};

lk_status lk_context_default_params(struct llama_context_params * out);
lk_status lk_context_new(struct llama_model * model, const struct llama_context_params * params, struct llama_context ** out);
lk_status lk_context_free(struct llama_context * ctx);
lk_status lk_context_get_info(const struct llama_context * ctx, struct lk_context_info * out);
lk_status lk_decode(struct llama_context * ctx, const struct llama_batch * batch, int32_t * out);
lk_status lk_encode(struct llama_context * ctx, const struct llama_batch * batch, int32_t * out);
lk_status lk_logits_ith(struct llama_context * ctx, int32_t i, float ** out);
lk_status lk_embeddings_ith(struct llama_context * ctx, int32_t i, float ** out);
lk_status lk_embeddings_seq(struct llama_context * ctx, llama_seq_id seq, float ** out);
lk_status lk_set_n_threads(struct llama_context * ctx, int32_t n_threads, int32_t n_threads_batch);
lk_status lk_perf_context(const struct llama_context * ctx, struct llama_perf_context_data * out);
lk_status lk_perf_context_reset(struct llama_context * ctx);
// Fills at most `capacity` entries; `count` receives how many there are.
lk_status lk_memory_breakdown(const struct llama_context * ctx, struct lk_memory_entry * entries, size_t capacity, size_t * count);

// Thread pools
lk_status lk_threadpool_new(int32_t n_threads, ggml_threadpool_t * out);
lk_status lk_threadpool_free(ggml_threadpool_t pool);
lk_status lk_attach_threadpool(struct llama_context * ctx, ggml_threadpool_t pool, ggml_threadpool_t pool_batch);

// Memory (KV cache and its kin)
lk_status lk_memory_clear(struct llama_context * ctx, bool data);
lk_status lk_memory_seq_rm(struct llama_context * ctx, llama_seq_id seq, llama_pos p0, llama_pos p1, bool * out);
lk_status lk_memory_seq_cp(struct llama_context * ctx, llama_seq_id src, llama_seq_id dst, llama_pos p0, llama_pos p1);
lk_status lk_memory_seq_add(struct llama_context * ctx, llama_seq_id seq, llama_pos p0, llama_pos p1, llama_pos delta);
lk_status lk_memory_seq_pos(struct llama_context * ctx, llama_seq_id seq, llama_pos * pos_min, llama_pos * pos_max);

// State of one sequence
lk_status lk_state_seq_get_size(struct llama_context * ctx, llama_seq_id seq, uint32_t flags, size_t * out);
lk_status lk_state_seq_get_data(struct llama_context * ctx, uint8_t * dst, size_t size, llama_seq_id seq, uint32_t flags, size_t * out);
lk_status lk_state_seq_set_data(struct llama_context * ctx, const uint8_t * src, size_t size, llama_seq_id seq, uint32_t flags, size_t * out);

// LoRA adapters
lk_status lk_adapter_lora_init(struct llama_model * model, intptr_t handle, struct llama_adapter_lora ** out);
lk_status lk_adapter_lora_free(struct llama_adapter_lora * adapter);
lk_status lk_adapter_alora_tokens(const struct llama_adapter_lora * adapter, const llama_token ** tokens, uint64_t * n_tokens);
lk_status lk_set_adapters_lora(struct llama_context * ctx, struct llama_adapter_lora ** adapters, size_t n_adapters, float * scales, int32_t * out);

// Upstream's samplers. The library samples in Rust; these are what it is compared with.
lk_status lk_sampler_chain_init(struct llama_sampler ** out);
lk_status lk_sampler_chain_add(struct llama_sampler * chain, struct llama_sampler * sampler);
lk_status lk_sampler_apply(struct llama_sampler * sampler, llama_token_data_array * candidates);
lk_status lk_sampler_accept(struct llama_sampler * sampler, llama_token token);
lk_status lk_sampler_free(struct llama_sampler * sampler);
lk_status lk_sampler_init_greedy(struct llama_sampler ** out);
lk_status lk_sampler_init_dist(uint32_t seed, struct llama_sampler ** out);
lk_status lk_sampler_init_top_k(int32_t k, struct llama_sampler ** out);
lk_status lk_sampler_init_top_p(float p, size_t min_keep, struct llama_sampler ** out);
lk_status lk_sampler_init_min_p(float p, size_t min_keep, struct llama_sampler ** out);
lk_status lk_sampler_init_typical(float p, size_t min_keep, struct llama_sampler ** out);
lk_status lk_sampler_init_temp(float t, struct llama_sampler ** out);
lk_status lk_sampler_init_temp_ext(float t, float delta, float exponent, struct llama_sampler ** out);
lk_status lk_sampler_init_xtc(float p, float t, size_t min_keep, uint32_t seed, struct llama_sampler ** out);
lk_status lk_sampler_init_top_n_sigma(float n, struct llama_sampler ** out);
lk_status lk_sampler_init_mirostat(int32_t n_vocab, uint32_t seed, float tau, float eta, int32_t m, struct llama_sampler ** out);
lk_status lk_sampler_init_mirostat_v2(uint32_t seed, float tau, float eta, struct llama_sampler ** out);
lk_status lk_sampler_init_penalties(int32_t n_vocab, int32_t last_n, float repeat, float freq, float present, struct llama_sampler ** out);
lk_status lk_sampler_init_dry(const struct llama_vocab * vocab, float multiplier, float base, int32_t allowed_length, int32_t last_n, const char ** breakers, size_t n_breakers, struct llama_sampler ** out);
lk_status lk_sampler_init_logit_bias(int32_t n_vocab, int32_t n_bias, const llama_logit_bias * bias, struct llama_sampler ** out);
lk_status lk_sampler_init_grammar(const struct llama_vocab * vocab, const char * grammar, const char * root, struct llama_sampler ** out);
lk_status lk_sampler_init_grammar_lazy(const struct llama_vocab * vocab, const char * grammar, const char * root, const char ** patterns, size_t n_patterns, const llama_token * tokens, size_t n_tokens, struct llama_sampler ** out);
lk_status lk_sampler_sample(struct llama_sampler * sampler, struct llama_context * ctx, int32_t index, llama_token * out);

// Quantising a model file
struct lk_importance {
    const char *  tensor;
    const float * values;
    size_t        n_values;
};

struct lk_tensor_rule {
    const char * pattern; // a regular expression of the C++ library, searched for in names of tensors
    int32_t      type;
};

struct lk_quantize_params {
    int32_t                                n_threads;
    int32_t                                ftype;
    int32_t                                output_type;          // -1: upstream chooses
    int32_t                                token_embedding_type; // -1: upstream chooses
    bool                                   allow_requantize;
    bool                                   quantize_output;
    bool                                   only_copy;
    bool                                   pure;
    const struct lk_importance *           importance;
    size_t                                 n_importance;
    const struct lk_tensor_rule *          rules;
    size_t                                 n_rules;
    const struct llama_model_kv_override * overrides; // closed by one with an empty key
    const int32_t *                        layers_left_out;
    size_t                                 n_layers_left_out;
    size_t                                 max_buffer; // 0: upstream chooses
};

// Told of each tensor before its work begins, on the thread that quantises: its number from 1, how many there
// are, and a text that begins with its name, blanks and a hyphen. False stops the work.
typedef bool (*lk_quantize_progress)(int32_t number, int32_t count, const char * text, void * user_data);

// `out` is what upstream returned. Stopped work has status LK_OK or LK_EXCEPTION; who said false knows.
lk_status lk_quantize(const char * input, const char * output, const struct lk_quantize_params * params, lk_quantize_progress progress, void * user_data, uint32_t * out);

// Quantised blocks, for comparing our dequantisation with upstream's.
lk_status lk_type_to_float(int32_t type, const void * src, float * dst, int64_t n);
lk_status lk_type_from_float(int32_t type, const float * src, void * dst, int64_t rows, int64_t row_len, const float * imatrix);

#ifdef __cplusplus
}
#endif

#endif
