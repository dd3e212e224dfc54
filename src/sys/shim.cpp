// Guarded twins of upstream's functions; see shim.h for the contract.

#include "shim.h"

#include "llama-ext.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef _WIN32
#    include <fcntl.h>
#    include <io.h>
#    include <windows.h>
#else
#    include <unistd.h>
#endif

namespace {

// More than zero while this thread is inside a twin. Only then may an assertion throw.
thread_local int guard_depth = 0;

// A fixed buffer: reporting an exhausted heap must not allocate.
thread_local char last_message[2048];

void remember(const char * text) noexcept {
    std::snprintf(last_message, sizeof(last_message), "%s", text ? text : "no message");
}

struct assertion_failed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Upstream calls this right before abort(). Throwing out of it unwinds to the twin on the calling
// thread. It must not throw from ggml-cpu: there other threads wait at a barrier for this one.
void on_assert(const char * message) {
    const bool in_worker = std::strstr(message, "ggml/src/ggml-cpu/") != nullptr
                        || std::strstr(message, "ggml\\src\\ggml-cpu\\") != nullptr;
    if (guard_depth > 0 && !in_worker) {
        throw assertion_failed(message);
    }
    // The process ends here; say why before it does.
    std::fprintf(stderr, "%s\n", message);
}

struct guard {
    guard() noexcept { ++guard_depth; }
    ~guard() { --guard_depth; }
};

template <typename F>
lk_status guarded(F && body) noexcept {
    guard scope;
    try {
        body();
        return LK_OK;
    } catch (const assertion_failed & e) {
        remember(e.what());
        return LK_ASSERT;
    } catch (const std::exception & e) {
        remember(e.what());
        return LK_EXCEPTION;
    } catch (...) {
        remember("an exception of unknown type");
        return LK_EXCEPTION;
    }
}

struct close_file {
    void operator()(FILE * file) const { std::fclose(file); }
};

using file_ptr = std::unique_ptr<FILE, close_file>;

// A FILE over a duplicate of the handle, so that closing it leaves the caller's handle open.
file_ptr open_handle(intptr_t handle) {
#ifdef _WIN32
    HANDLE copy = nullptr;
    if (!DuplicateHandle(GetCurrentProcess(), reinterpret_cast<HANDLE>(handle), GetCurrentProcess(), &copy, 0, FALSE, DUPLICATE_SAME_ACCESS)) {
        throw std::runtime_error("cannot duplicate the file handle");
    }
    const int fd = _open_osfhandle(reinterpret_cast<intptr_t>(copy), _O_RDONLY | _O_BINARY);
    if (fd < 0) {
        CloseHandle(copy);
        throw std::runtime_error("cannot open the file handle");
    }
    file_ptr file(_fdopen(fd, "rb"));
    if (!file) {
        _close(fd);
        throw std::runtime_error("cannot open the file handle");
    }
#else
    const int fd = dup(static_cast<int>(handle));
    if (fd < 0) {
        throw std::runtime_error("cannot duplicate the file descriptor");
    }
    file_ptr file(fdopen(fd, "rb"));
    if (!file) {
        close(fd);
        throw std::runtime_error("cannot open the file descriptor");
    }
#endif
    // Duplicates share the file position, and upstream reads from it.
    std::rewind(file.get());
    return file;
}

// Who is told of the tensors that this thread quantises. Upstream says it nowhere but in its log.
struct quantize_observer {
    lk_quantize_progress progress;
    void *               user_data;
    bool                 stopped;
};

thread_local quantize_observer * observer = nullptr;

ggml_log_callback log_sink = nullptr;

void on_log(ggml_log_level level, const char * text, void * user_data) {
    log_sink(level, text, user_data);
    if (observer == nullptr) {
        return;
    }
    if (observer->stopped) {
        // Upstream's handler of exceptions logs as well, and nothing may be thrown there.
        observer = nullptr;
        throw std::runtime_error("stopped by the caller");
    }
    int number = 0, count = 0, length = 0;
    if (std::sscanf(text, "[%d/%d] %n", &number, &count, &length) == 2 && length > 0) {
        // Thrown is at the next piece of log: for a long line upstream holds memory while it calls this.
        // That piece comes before the tensor is quantised.
        observer->stopped = !observer->progress(number, count, text + length, observer->user_data);
    }
}

struct observer_scope {
    explicit observer_scope(quantize_observer * self) noexcept { observer = self; }
    ~observer_scope() { observer = nullptr; }
};

// What upstream's own handler does (fork a debugger for a backtrace) is no business of a library.
[[noreturn]] void quiet_terminate() {
    std::abort();
}

} // namespace

const char * lk_last_message(void) {
    return last_message;
}

// Sizes that the checked-in bindings were made with; a difference means that they are stale.
static_assert(sizeof(llama_token) == 4 && sizeof(llama_pos) == 4 && sizeof(llama_seq_id) == 4, "token, position and sequence ids are 32-bit");
static_assert(sizeof(enum llama_vocab_type) == 4 && sizeof(enum ggml_type) == 4, "enums are 32-bit");
static_assert(sizeof(void *) != 8 || sizeof(llama_model_params) == 80, "llama_model_params changed: regenerate the bindings");
static_assert(sizeof(void *) != 8 || sizeof(llama_context_params) == 160, "llama_context_params changed: regenerate the bindings");
static_assert(sizeof(void *) != 8 || sizeof(llama_batch) == 56, "llama_batch changed: regenerate the bindings");
static_assert(sizeof(llama_token_data) == 12, "llama_token_data changed: regenerate the bindings");
static_assert(sizeof(void *) != 8 || sizeof(llama_token_data_array) == 32, "llama_token_data_array changed: regenerate the bindings");
static_assert(sizeof(llama_model_kv_override) == 264, "llama_model_kv_override changed: regenerate the bindings");
static_assert(sizeof(llama_logit_bias) == 8, "llama_logit_bias changed: regenerate the bindings");
static_assert(sizeof(llama_perf_context_data) == 48, "llama_perf_context_data changed: regenerate the bindings");

// Runtime

lk_status lk_init(ggml_log_callback log) {
    return guarded([&] {
        ggml_set_abort_callback(on_assert);
        std::set_terminate(quiet_terminate);
        log_sink = log;
        llama_log_set(on_log, nullptr);
        llama_backend_init();
    });
}

lk_status lk_system_info(const char ** out) {
    return guarded([&] { *out = llama_print_system_info(); });
}

lk_status lk_device_count(size_t * out) {
    return guarded([&] { *out = ggml_backend_dev_count(); });
}

lk_status lk_device_get(size_t index, ggml_backend_dev_t * out) {
    return guarded([&] { *out = ggml_backend_dev_get(index); });
}

lk_status lk_device_props(ggml_backend_dev_t device, struct ggml_backend_dev_props * out) {
    return guarded([&] { ggml_backend_dev_get_props(device, out); });
}

lk_status lk_device_backend(ggml_backend_dev_t device, const char ** out) {
    return guarded([&] { *out = ggml_backend_reg_name(ggml_backend_dev_backend_reg(device)); });
}

// Models

lk_status lk_model_default_params(struct llama_model_params * out) {
    return guarded([&] { *out = llama_model_default_params(); });
}

lk_status lk_model_load_from_handle(intptr_t handle, const struct llama_model_params * params, struct llama_model ** out) {
    return guarded([&] {
        const file_ptr file = open_handle(handle);
        *out = llama_model_load_from_file_ptr(file.get(), *params);
    });
}

lk_status lk_model_load_from_splits(const char ** paths, size_t n_paths, const struct llama_model_params * params, struct llama_model ** out) {
    return guarded([&] { *out = llama_model_load_from_splits(paths, n_paths, *params); });
}

lk_status lk_model_free(struct llama_model * model) {
    return guarded([&] { llama_model_free(model); });
}

lk_status lk_model_get_info(const struct llama_model * model, struct lk_model_info * out) {
    return guarded([&] {
        // Of a model loaded with its vocabulary only, upstream knows no layers, and aborts when asked for one's heads.
        const bool layers = llama_model_n_layer(model) > 0;

        out->n_ctx_train           = llama_model_n_ctx_train(model);
        out->n_embd                = llama_model_n_embd(model);
        out->n_embd_inp            = llama_model_n_embd_inp(model);
        out->n_embd_out            = llama_model_n_embd_out(model);
        out->n_layer               = llama_model_n_layer(model);
        out->n_layer_nextn         = llama_model_n_layer_nextn(model);
        out->n_head                = layers ? llama_model_n_head(model) : 0;
        out->n_head_kv             = layers ? llama_model_n_head_kv(model) : 0;
        out->n_swa                 = llama_model_n_swa(model);
        out->n_expert              = llama_model_n_expert(model);
        out->rope_type             = llama_model_rope_type(model);
        out->rope_freq_scale_train = llama_model_rope_freq_scale_train(model);
        out->n_cls_out             = llama_model_n_cls_out(model);
        out->ftype                 = llama_model_ftype(model);
        out->size                  = llama_model_size(model);
        out->n_params              = llama_model_n_params(model);
        out->decoder_start_token   = llama_model_decoder_start_token(model);
        out->has_encoder           = llama_model_has_encoder(model);
        out->has_decoder           = llama_model_has_decoder(model);
        out->is_recurrent          = llama_model_is_recurrent(model);
        out->is_hybrid             = llama_model_is_hybrid(model);
        out->is_diffusion          = llama_model_is_diffusion(model);
    });
}

lk_status lk_model_desc(const struct llama_model * model, char * buf, size_t size, int32_t * out) {
    return guarded([&] { *out = llama_model_desc(model, buf, size); });
}

lk_status lk_model_ftype_name(const struct llama_model * model, const char ** out) {
    return guarded([&] { *out = llama_ftype_name(llama_model_ftype(model)); });
}

lk_status lk_model_chat_template(const struct llama_model * model, const char * name, const char ** out) {
    return guarded([&] { *out = llama_model_chat_template(model, name); });
}

lk_status lk_model_cls_label(const struct llama_model * model, uint32_t index, const char ** out) {
    return guarded([&] { *out = llama_model_cls_label(model, index); });
}

lk_status lk_model_meta_count(const struct llama_model * model, int32_t * out) {
    return guarded([&] { *out = llama_model_meta_count(model); });
}

lk_status lk_model_meta_key_by_index(const struct llama_model * model, int32_t index, char * buf, size_t size, int32_t * out) {
    return guarded([&] { *out = llama_model_meta_key_by_index(model, index, buf, size); });
}

lk_status lk_model_meta_val_by_index(const struct llama_model * model, int32_t index, char * buf, size_t size, int32_t * out) {
    return guarded([&] { *out = llama_model_meta_val_str_by_index(model, index, buf, size); });
}

// Vocabulary

lk_status lk_model_get_vocab(const struct llama_model * model, const struct llama_vocab ** out) {
    return guarded([&] { *out = llama_model_get_vocab(model); });
}

lk_status lk_vocab_get_info(const struct llama_vocab * vocab, struct lk_vocab_info * out) {
    return guarded([&] {
        out->type     = llama_vocab_type(vocab);
        out->n_tokens = llama_vocab_n_tokens(vocab);
        out->bos      = llama_vocab_bos(vocab);
        out->eos      = llama_vocab_eos(vocab);
        out->eot      = llama_vocab_eot(vocab);
        out->sep      = llama_vocab_sep(vocab);
        out->nl       = llama_vocab_nl(vocab);
        out->pad      = llama_vocab_pad(vocab);
        out->mask     = llama_vocab_mask(vocab);
        out->fim_pre  = llama_vocab_fim_pre(vocab);
        out->fim_suf  = llama_vocab_fim_suf(vocab);
        out->fim_mid  = llama_vocab_fim_mid(vocab);
        out->fim_pad  = llama_vocab_fim_pad(vocab);
        out->fim_rep  = llama_vocab_fim_rep(vocab);
        out->fim_sep  = llama_vocab_fim_sep(vocab);
        out->add_bos  = llama_vocab_get_add_bos(vocab);
        out->add_eos  = llama_vocab_get_add_eos(vocab);
        out->add_sep  = llama_vocab_get_add_sep(vocab);
    });
}

lk_status lk_vocab_token_info(const struct llama_vocab * vocab, llama_token token, struct lk_token_info * out) {
    return guarded([&] {
        out->text       = llama_vocab_get_text(vocab, token);
        out->score      = llama_vocab_get_score(vocab, token);
        out->attr       = llama_vocab_get_attr(vocab, token);
        out->is_eog     = llama_vocab_is_eog(vocab, token);
        out->is_control = llama_vocab_is_control(vocab, token);
    });
}

lk_status lk_tokenize(const struct llama_vocab * vocab, const char * text, int32_t text_len, llama_token * tokens, int32_t n_tokens_max, bool add_special, bool parse_special, int32_t * out) {
    return guarded([&] { *out = llama_tokenize(vocab, text, text_len, tokens, n_tokens_max, add_special, parse_special); });
}

lk_status lk_token_to_piece(const struct llama_vocab * vocab, llama_token token, char * buf, int32_t length, int32_t lstrip, bool special, int32_t * out) {
    return guarded([&] { *out = llama_token_to_piece(vocab, token, buf, length, lstrip, special); });
}

lk_status lk_detokenize(const struct llama_vocab * vocab, const llama_token * tokens, int32_t n_tokens, char * text, int32_t text_len_max, bool remove_special, bool unparse_special, int32_t * out) {
    return guarded([&] { *out = llama_detokenize(vocab, tokens, n_tokens, text, text_len_max, remove_special, unparse_special); });
}

// Contexts

lk_status lk_context_default_params(struct llama_context_params * out) {
    return guarded([&] { *out = llama_context_default_params(); });
}

lk_status lk_context_new(struct llama_model * model, const struct llama_context_params * params, struct llama_context ** out) {
    return guarded([&] { *out = llama_init_from_model(model, *params); });
}

lk_status lk_context_free(struct llama_context * ctx) {
    return guarded([&] { llama_free(ctx); });
}

lk_status lk_context_get_info(const struct llama_context * ctx, struct lk_context_info * out) {
    return guarded([&] {
        const llama_memory_t memory = llama_get_memory(ctx);
        out->n_ctx        = llama_n_ctx(ctx);
        out->n_ctx_seq    = llama_n_ctx_seq(ctx);
        out->n_batch      = llama_n_batch(ctx);
        out->n_ubatch     = llama_n_ubatch(ctx);
        out->n_seq_max    = llama_n_seq_max(ctx);
        out->n_rs_seq     = llama_n_rs_seq(ctx);
        out->pooling_type = llama_pooling_type(ctx);
        out->has_memory   = memory != nullptr;
        out->can_shift    = memory != nullptr && llama_memory_can_shift(memory);
    });
}

lk_status lk_decode(struct llama_context * ctx, const struct llama_batch * batch, int32_t * out) {
    return guarded([&] { *out = llama_decode(ctx, *batch); });
}

lk_status lk_encode(struct llama_context * ctx, const struct llama_batch * batch, int32_t * out) {
    return guarded([&] { *out = llama_encode(ctx, *batch); });
}

lk_status lk_logits_ith(struct llama_context * ctx, int32_t i, float ** out) {
    return guarded([&] { *out = llama_get_logits_ith(ctx, i); });
}

lk_status lk_embeddings_ith(struct llama_context * ctx, int32_t i, float ** out) {
    return guarded([&] { *out = llama_get_embeddings_ith(ctx, i); });
}

lk_status lk_embeddings_seq(struct llama_context * ctx, llama_seq_id seq, float ** out) {
    return guarded([&] { *out = llama_get_embeddings_seq(ctx, seq); });
}

lk_status lk_set_n_threads(struct llama_context * ctx, int32_t n_threads, int32_t n_threads_batch) {
    return guarded([&] { llama_set_n_threads(ctx, n_threads, n_threads_batch); });
}

lk_status lk_perf_context(const struct llama_context * ctx, struct llama_perf_context_data * out) {
    return guarded([&] { *out = llama_perf_context(ctx); });
}

lk_status lk_perf_context_reset(struct llama_context * ctx) {
    return guarded([&] { llama_perf_context_reset(ctx); });
}

lk_status lk_memory_breakdown(const struct llama_context * ctx, struct lk_memory_entry * entries, size_t capacity, size_t * count) {
    return guarded([&] {
        const llama_memory_breakdown breakdown = llama_get_memory_breakdown(ctx);
        size_t filled = 0;
        for (const auto & [type, bytes] : breakdown) {
            if (filled < capacity) {
                entries[filled].buffer_type = ggml_backend_buft_name(type);
                entries[filled].is_host     = ggml_backend_buft_is_host(type);
                entries[filled].model       = bytes.model;
                entries[filled].context     = bytes.context;
                entries[filled].compute     = bytes.compute;
                ++filled;
            }
        }
        *count = breakdown.size();
    });
}

// Thread pools

lk_status lk_threadpool_new(int32_t n_threads, ggml_threadpool_t * out) {
    return guarded([&] {
        ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
        *out = ggml_threadpool_new(&params);
    });
}

lk_status lk_threadpool_free(ggml_threadpool_t pool) {
    return guarded([&] { ggml_threadpool_free(pool); });
}

lk_status lk_attach_threadpool(struct llama_context * ctx, ggml_threadpool_t pool, ggml_threadpool_t pool_batch) {
    return guarded([&] { llama_attach_threadpool(ctx, pool, pool_batch); });
}

// Memory

lk_status lk_memory_clear(struct llama_context * ctx, bool data) {
    return guarded([&] { llama_memory_clear(llama_get_memory(ctx), data); });
}

lk_status lk_memory_seq_rm(struct llama_context * ctx, llama_seq_id seq, llama_pos p0, llama_pos p1, bool * out) {
    return guarded([&] { *out = llama_memory_seq_rm(llama_get_memory(ctx), seq, p0, p1); });
}

lk_status lk_memory_seq_cp(struct llama_context * ctx, llama_seq_id src, llama_seq_id dst, llama_pos p0, llama_pos p1) {
    return guarded([&] { llama_memory_seq_cp(llama_get_memory(ctx), src, dst, p0, p1); });
}

lk_status lk_memory_seq_add(struct llama_context * ctx, llama_seq_id seq, llama_pos p0, llama_pos p1, llama_pos delta) {
    return guarded([&] { llama_memory_seq_add(llama_get_memory(ctx), seq, p0, p1, delta); });
}

lk_status lk_memory_seq_pos(struct llama_context * ctx, llama_seq_id seq, llama_pos * pos_min, llama_pos * pos_max) {
    return guarded([&] {
        const llama_memory_t memory = llama_get_memory(ctx);
        *pos_min = llama_memory_seq_pos_min(memory, seq);
        *pos_max = llama_memory_seq_pos_max(memory, seq);
    });
}

// State of one sequence

lk_status lk_state_seq_get_size(struct llama_context * ctx, llama_seq_id seq, uint32_t flags, size_t * out) {
    return guarded([&] { *out = llama_state_seq_get_size_ext(ctx, seq, flags); });
}

lk_status lk_state_seq_get_data(struct llama_context * ctx, uint8_t * dst, size_t size, llama_seq_id seq, uint32_t flags, size_t * out) {
    return guarded([&] { *out = llama_state_seq_get_data_ext(ctx, dst, size, seq, flags); });
}

lk_status lk_state_seq_set_data(struct llama_context * ctx, const uint8_t * src, size_t size, llama_seq_id seq, uint32_t flags, size_t * out) {
    return guarded([&] { *out = llama_state_seq_set_data_ext(ctx, src, size, seq, flags); });
}

// LoRA adapters

lk_status lk_adapter_lora_init(struct llama_model * model, intptr_t handle, struct llama_adapter_lora ** out) {
    return guarded([&] {
        const file_ptr file = open_handle(handle);
        *out = llama_adapter_lora_init_from_file_ptr(model, file.get());
    });
}

lk_status lk_adapter_lora_free(struct llama_adapter_lora * adapter) {
    return guarded([&] { llama_adapter_lora_free(adapter); });
}

lk_status lk_adapter_alora_tokens(const struct llama_adapter_lora * adapter, const llama_token ** tokens, uint64_t * n_tokens) {
    return guarded([&] {
        *n_tokens = llama_adapter_get_alora_n_invocation_tokens(adapter);
        *tokens   = llama_adapter_get_alora_invocation_tokens(adapter);
    });
}

lk_status lk_set_adapters_lora(struct llama_context * ctx, struct llama_adapter_lora ** adapters, size_t n_adapters, float * scales, int32_t * out) {
    return guarded([&] { *out = llama_set_adapters_lora(ctx, adapters, n_adapters, scales); });
}

// Upstream's samplers

lk_status lk_sampler_chain_init(struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_chain_init(llama_sampler_chain_default_params()); });
}

lk_status lk_sampler_chain_add(struct llama_sampler * chain, struct llama_sampler * sampler) {
    return guarded([&] { llama_sampler_chain_add(chain, sampler); });
}

lk_status lk_sampler_apply(struct llama_sampler * sampler, llama_token_data_array * candidates) {
    return guarded([&] { llama_sampler_apply(sampler, candidates); });
}

lk_status lk_sampler_accept(struct llama_sampler * sampler, llama_token token) {
    return guarded([&] { llama_sampler_accept(sampler, token); });
}

lk_status lk_sampler_free(struct llama_sampler * sampler) {
    return guarded([&] { llama_sampler_free(sampler); });
}

lk_status lk_sampler_init_greedy(struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_greedy(); });
}

lk_status lk_sampler_init_dist(uint32_t seed, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_dist(seed); });
}

lk_status lk_sampler_init_top_k(int32_t k, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_top_k(k); });
}

lk_status lk_sampler_init_top_p(float p, size_t min_keep, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_top_p(p, min_keep); });
}

lk_status lk_sampler_init_min_p(float p, size_t min_keep, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_min_p(p, min_keep); });
}

lk_status lk_sampler_init_typical(float p, size_t min_keep, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_typical(p, min_keep); });
}

lk_status lk_sampler_init_temp(float t, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_temp(t); });
}

lk_status lk_sampler_init_temp_ext(float t, float delta, float exponent, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_temp_ext(t, delta, exponent); });
}

lk_status lk_sampler_init_xtc(float p, float t, size_t min_keep, uint32_t seed, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_xtc(p, t, min_keep, seed); });
}

lk_status lk_sampler_init_top_n_sigma(float n, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_top_n_sigma(n); });
}

lk_status lk_sampler_init_mirostat(int32_t n_vocab, uint32_t seed, float tau, float eta, int32_t m, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_mirostat(n_vocab, seed, tau, eta, m); });
}

lk_status lk_sampler_init_mirostat_v2(uint32_t seed, float tau, float eta, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_mirostat_v2(seed, tau, eta); });
}

lk_status lk_sampler_init_penalties(int32_t n_vocab, int32_t last_n, float repeat, float freq, float present, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_penalties(n_vocab, last_n, repeat, freq, present); });
}

lk_status lk_sampler_init_dry(const struct llama_vocab * vocab, float multiplier, float base, int32_t allowed_length, int32_t last_n, const char ** breakers, size_t n_breakers, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_dry(vocab, multiplier, base, allowed_length, last_n, breakers, n_breakers); });
}

lk_status lk_sampler_init_logit_bias(int32_t n_vocab, int32_t n_bias, const llama_logit_bias * bias, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_logit_bias(n_vocab, n_bias, bias); });
}

lk_status lk_sampler_init_grammar(const struct llama_vocab * vocab, const char * grammar, const char * root, struct llama_sampler ** out) {
    return guarded([&] { *out = llama_sampler_init_grammar(vocab, grammar, root); });
}

lk_status lk_sampler_init_grammar_lazy(const struct llama_vocab * vocab, const char * grammar, const char * root, const char ** patterns, size_t n_patterns, const llama_token * tokens, size_t n_tokens, struct llama_sampler ** out) {
    return guarded([&] {
        // Upstream leaks its sampler when a pattern makes it throw; one that is wrong throws here.
        for (size_t i = 0; i < n_patterns; i++) {
            std::regex checked(patterns[i]);
        }
        *out = llama_sampler_init_grammar_lazy_patterns(vocab, grammar, root, patterns, n_patterns, tokens, n_tokens);
    });
}

lk_status lk_sampler_sample(struct llama_sampler * sampler, struct llama_context * ctx, int32_t index, llama_token * out) {
    return guarded([&] { *out = llama_sampler_sample(sampler, ctx, index); });
}

// Quantising a model file

lk_status lk_quantize(const char * input, const char * output, const struct lk_quantize_params * params, lk_quantize_progress progress, void * user_data, uint32_t * out) {
    return guarded([&] {
        llama_model_quantize_params raw = llama_model_quantize_default_params();
        raw.nthread                = params->n_threads;
        raw.ftype                  = static_cast<llama_ftype>(params->ftype);
        raw.allow_requantize       = params->allow_requantize;
        raw.quantize_output_tensor = params->quantize_output;
        raw.only_copy              = params->only_copy;
        raw.pure                   = params->pure;
        raw.kv_overrides           = params->overrides;
        raw.max_buf_size           = params->max_buffer;
        if (params->output_type >= 0) {
            raw.output_tensor_type = static_cast<ggml_type>(params->output_type);
        }
        if (params->token_embedding_type >= 0) {
            raw.token_embedding_type = static_cast<ggml_type>(params->token_embedding_type);
        }

        // Upstream wants each list closed by an entry of its own kind.
        std::vector<llama_model_imatrix_data> importance;
        for (size_t i = 0; i < params->n_importance; i++) {
            const lk_importance & entry = params->importance[i];
            importance.push_back({ entry.tensor, entry.values, entry.n_values });
        }
        if (!importance.empty()) {
            importance.push_back({ nullptr, nullptr, 0 });
            raw.imatrix = importance.data();
        }
        std::vector<llama_model_tensor_override> rules;
        for (size_t i = 0; i < params->n_rules; i++) {
            rules.push_back({ params->rules[i].pattern, static_cast<ggml_type>(params->rules[i].type) });
        }
        if (!rules.empty()) {
            rules.push_back({ nullptr, GGML_TYPE_COUNT });
            raw.tt_overrides = rules.data();
        }
        std::vector<int32_t> layers(params->layers_left_out, params->layers_left_out + params->n_layers_left_out);
        if (!layers.empty()) {
            layers.push_back(-1);
            raw.prune_layers = layers.data();
        }

        quantize_observer self { progress, user_data, false };
        const observer_scope scope(&self);
        *out = llama_model_quantize(input, output, &raw);
    });
}

// Quantised blocks

lk_status lk_type_to_float(int32_t type, const void * src, float * dst, int64_t n) {
    return guarded([&] {
        if (type < 0 || type >= GGML_TYPE_COUNT || ggml_get_type_traits(static_cast<ggml_type>(type))->to_float == nullptr) {
            throw std::invalid_argument("this tensor type has no conversion to float");
        }
        ggml_get_type_traits(static_cast<ggml_type>(type))->to_float(src, dst, n);
    });
}

lk_status lk_type_from_float(int32_t type, const float * src, void * dst, int64_t rows, int64_t row_len, const float * imatrix) {
    return guarded([&] {
        if (type < 0 || type >= GGML_TYPE_COUNT) {
            throw std::invalid_argument("no such tensor type");
        }
        ggml_quantize_chunk(static_cast<ggml_type>(type), src, dst, 0, rows, row_len, imatrix);
    });
}
