//! The bindings against the C compiler of this machine: size, alignment and the place of
//! every field of every struct that crosses the border.

#![allow(
    unsafe_code,
    reason = "the bindings declare foreign functions; none is called"
)]

use std::fmt::Write;
use std::fs;
use std::mem::{align_of, offset_of, size_of};
use std::path::Path;
use std::process::Command;

use llamakit_buildtests::{root, succeed, upstream};

#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
#[path = "../../src/sys/bindings.rs"]
mod bindings;

use bindings::*;

/// What Rust believes of one struct.
struct Layout {
    name: &'static str,
    size: usize,
    align: usize,
    fields: Vec<(&'static str, usize)>,
}

macro_rules! layouts {
    ($($name:ident { $($field:ident),* })*) => {
        vec![$(Layout {
            name: stringify!($name),
            size: size_of::<$name>(),
            align: align_of::<$name>(),
            fields: vec![$((stringify!($field), offset_of!($name, $field))),*],
        }),*]
    };
}

fn layouts() -> Vec<Layout> {
    layouts! {
        ggml_tensor { type_, buffer, ne, nb, op, op_params, flags, src, view_src, view_offs, data, name, extra, padding }
        ggml_backend_dev_caps { async_, host_buffer, buffer_from_host_ptr, events, mmap_support }
        ggml_backend_dev_props { name, description, memory_free, memory_total, type_, device_id, caps }
        llama_token_data { id, logit, p }
        llama_token_data_array { data, size, selected, sorted }
        llama_batch { n_tokens, token, embd, pos, n_seq_id, seq_id, logits }
        llama_model_kv_override { tag, key, __bindgen_anon_1 }
        llama_model_tensor_buft_override { pattern, buft }
        llama_model_params { devices, tensor_buft_overrides, n_gpu_layers, split_mode, load_mode, lazy_mode, main_gpu, tensor_split, progress_callback, progress_callback_user_data, kv_overrides, vocab_only, check_tensors, use_extra_bufts, no_host, no_alloc, load_mtp }
        llama_sampler_seq_config { seq_id, sampler }
        llama_context_params { n_ctx, n_batch, n_ubatch, n_seq_max, n_rs_seq, n_outputs_max, n_outputs_max_per_seq, n_threads, n_threads_batch, ctx_type, rope_scaling_type, pooling_type, attention_type, flash_attn_type, rope_freq_base, rope_freq_scale, yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow, yarn_orig_ctx, defrag_thold, cb_eval, cb_eval_user_data, type_k, type_v, abort_callback, abort_callback_data, embeddings, offload_kqv, no_perf, op_offload, swa_full, kv_unified, samplers, n_samplers, ctx_other }
        llama_logit_bias { token, bias }
        llama_sampler_data { logits, probs, sampled, candidates }
        llama_sampler_i { name, accept, apply, reset, clone, free, backend_init, backend_accept, backend_apply, backend_set_input, backend_reset, copy_state }
        llama_sampler { iface, ctx }
        llama_perf_context_data { t_start_ms, t_load_ms, t_p_eval_ms, t_eval_ms, n_p_eval, n_eval, n_reused }
        lk_model_info { n_ctx_train, n_embd, n_embd_inp, n_embd_out, n_layer, n_layer_nextn, n_head, n_head_kv, n_swa, n_expert, rope_type, rope_freq_scale_train, n_cls_out, ftype, size, n_params, decoder_start_token, has_encoder, has_decoder, is_recurrent, is_hybrid, is_diffusion }
        lk_vocab_info { type_, n_tokens, bos, eos, eot, sep, nl, pad, mask, fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep, add_bos, add_eos, add_sep }
        lk_token_info { text, score, attr, is_eog, is_control }
        lk_context_info { n_ctx, n_ctx_seq, n_batch, n_ubatch, n_seq_max, n_rs_seq, pooling_type, has_memory, can_shift }
        lk_memory_entry { buffer_type, is_host, model, context, compute }
        lk_importance { tensor, values, n_values }
        lk_tensor_rule { pattern, type_ }
        lk_quantize_params { n_threads, ftype, output_type, token_embedding_type, allow_requantize, quantize_output, only_copy, pure, importance, n_importance, rules, n_rules, overrides, layers_left_out, n_layers_left_out, max_buffer }
    }
}

/// A field's name in C, where bindgen had to choose another.
fn c_name(field: &str) -> &str {
    match field {
        // The first member of the value of a metadata override, a union without a name.
        "__bindgen_anon_1" => "val_i64",
        field => field.trim_end_matches('_'),
    }
}

#[test]
fn structs_are_laid_out_as_the_c_compiler_lays_them_out() {
    let mut source =
        "#include <stddef.h>\n#include <stdio.h>\n#include \"shim.h\"\nint main(void) {\n"
            .to_owned();
    let mut expected = String::new();
    for Layout {
        name,
        size,
        align,
        fields,
    } in layouts()
    {
        writeln!(
            source,
            "printf(\"{name} %zu %zu\\n\", sizeof(struct {name}), _Alignof(struct {name}));"
        )
        .unwrap();
        writeln!(expected, "{name} {size} {align}").unwrap();
        for (field, offset) in fields {
            let field = c_name(field);
            writeln!(
                source,
                "printf(\"{name}.{field} %zu\\n\", offsetof(struct {name}, {field}));"
            )
            .unwrap();
            writeln!(expected, "{name}.{field} {offset}").unwrap();
        }
    }
    source.push_str("return 0;\n}\n");

    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abi");
    fs::create_dir_all(&dir).unwrap();
    let (file, program) = (dir.join("abi.c"), dir.join("abi"));
    fs::write(&file, source).unwrap();
    let upstream = upstream().unwrap().root;
    let mut cc = Command::new("cc");
    cc.arg("-std=c11").arg(&file).arg("-o").arg(&program);
    for dir in [
        root().join("src/sys"),
        upstream.join("include"),
        upstream.join("ggml/include"),
    ] {
        cc.arg("-I").arg(dir);
    }
    succeed(&mut cc);
    let printed = Command::new(&program).output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), expected);
}

#[test]
fn no_struct_of_the_bindings_is_left_out() {
    let text = fs::read_to_string(root().join("src/sys/bindings.rs")).unwrap();
    let known = layouts();
    let mut seen = 0;
    for block in text.split("pub struct ").skip(1) {
        let name = block.split([' ', '{']).next().unwrap();
        let body = block.split("\n}").next().unwrap();
        let field = |line: &str| Some(line.strip_prefix("    pub ")?.split_once(':')?.0.to_owned());
        let fields: Vec<String> = body
            .lines()
            .filter_map(field)
            .filter(|f| f != "_address")
            .collect();
        if fields.is_empty() {
            continue; // opaque: only pointers to it exist
        }
        seen += 1;
        let layout = known.iter().find(|l| l.name == name);
        let listed: Vec<_> = layout
            .unwrap_or_else(|| panic!("{name} is not checked"))
            .fields
            .iter()
            .map(|f| f.0)
            .collect();
        assert_eq!(fields, listed, "{name}");
    }
    assert_eq!(seen, known.len());
}
