//! Every tensor type as `f32`: blocks computed by hand, and all types against recorded values.

use llamakit::ErrorKind;
use llamakit::gguf::{File, TensorType, Writer};
use llamakit::tensor::dequantize;

fn values(ty: TensorType, bytes: &[u8]) -> Vec<f32> {
    let blocks = bytes.len() / ty.block_bytes() as usize;
    let mut out = vec![f32::NAN; blocks * ty.block_size() as usize];
    dequantize(ty, bytes, &mut out).unwrap();
    out
}

const ONE: [u8; 2] = [0x00, 0x3c];
const TWO: [u8; 2] = [0x00, 0x40];

#[test]
fn numbers() {
    assert_eq!(values(TensorType::F32, &1.5_f32.to_le_bytes()), [1.5]);
    assert_eq!(values(TensorType::F16, &[0x00, 0xc0]), [-2.0]);
    assert_eq!(values(TensorType::BF16, &[0x40, 0x40]), [3.0]);
    assert_eq!(values(TensorType::F64, &0.25_f64.to_le_bytes()), [0.25]);
    assert_eq!(values(TensorType::I8, &[0xff, 5]), [-1.0, 5.0]);
    assert_eq!(values(TensorType::I16, &(-300_i16).to_le_bytes()), [-300.0]);
    assert_eq!(
        values(TensorType::I32, &70_000_i32.to_le_bytes()),
        [70_000.0]
    );
    assert_eq!(
        values(TensorType::I64, &(-(1_i64 << 40)).to_le_bytes()),
        [-1_099_511_627_776.0]
    );
}

#[test]
fn four_bit_blocks_keep_low_halves_first() {
    let q4_0 = values(TensorType::Q4_0, &[&TWO[..], &[0x9f], &[0x88; 15]].concat());
    assert_eq!((q4_0[0], q4_0[16]), (14.0, 2.0));
    assert!(q4_0[1..16].iter().all(|&value| value == 0.0));
    let q4_1 = values(TensorType::Q4_1, &[&TWO[..], &ONE, &[0x53; 16]].concat());
    assert_eq!((q4_1[0], q4_1[16]), (7.0, 11.0));
}

#[test]
fn fifth_bits_come_from_their_own_word() {
    let high = (1_u32 | 1 << 31).to_le_bytes();
    let q5_0 = values(TensorType::Q5_0, &[&ONE[..], &high, &[0x21; 16]].concat());
    assert_eq!(
        (q5_0[0], q5_0[1], q5_0[16], q5_0[31]),
        (1.0, -15.0, -14.0, 2.0)
    );
    let q5_1 = values(
        TensorType::Q5_1,
        &[&ONE[..], &TWO, &high, &[0x21; 16]].concat(),
    );
    assert_eq!(
        (q5_1[0], q5_1[1], q5_1[16], q5_1[31]),
        (19.0, 3.0, 4.0, 20.0)
    );
}

#[test]
fn eight_bit_blocks_scale_signed_bytes() {
    let q8_0 = values(TensorType::Q8_0, &[&TWO[..], &[0xff], &[3; 31]].concat());
    assert_eq!((q8_0[0], q8_0[1]), (-2.0, 6.0));
    let q8_1 = values(
        TensorType::Q8_1,
        &[&TWO[..], &ONE, &[0xff], &[3; 31]].concat(),
    );
    assert_eq!(q8_1, q8_0);
}

#[test]
fn four_bit_floats() {
    // Exponent byte 128 is 2^1, halved because the table is doubled.
    let mxfp4 = values(TensorType::MXFP4, &[&[128], &[0xf7][..], &[0; 15]].concat());
    assert_eq!((mxfp4[0], mxfp4[16], mxfp4[1]), (12.0, -12.0, 0.0));
    // Scale 0x38 is 1.0 in the first sub-block of 16.
    let nvfp4 = values(
        TensorType::NVFP4,
        &[&[0x38, 0, 0, 0], &[0x21; 32][..]].concat(),
    );
    assert_eq!((nvfp4[0], nvfp4[8], nvfp4[16]), (0.5, 1.0, 0.0));
}

/// Bytes that look random and are always the same.
fn noise(ty: TensorType, blocks: u64) -> Vec<u8> {
    let mut state = 0x1234_5678_9abc_def1 ^ u64::from(ty.id()) << 40;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..blocks * ty.block_bytes()).map(|_| next()).collect()
}

/// FNV-1a over the bits; all NaN count as one.
fn fingerprint(values: &[f32]) -> u64 {
    values.iter().fold(0xcbf2_9ce4_8422_2325, |hash, value| {
        let bits = if value.is_nan() {
            0x7fc0_0000
        } else {
            value.to_bits()
        };
        (hash ^ u64::from(bits)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Recorded after comparing these very values, bit for bit, with ggml's `dequantize_row_*`.
const RECORDED: &[(TensorType, u64)] = &[
    (TensorType::Q4_0, 0xd3a2_9e54_8463_5b25),
    (TensorType::Q4_1, 0x8acd_db9c_a5c7_6773),
    (TensorType::Q5_0, 0xb4ec_ebc3_2ebc_5925),
    (TensorType::Q5_1, 0x1ab8_abb8_d852_3e41),
    (TensorType::Q8_0, 0x06f5_fbfb_a052_74e5),
    (TensorType::Q2_K, 0x8e13_35fe_cc82_0bf9),
    (TensorType::Q3_K, 0x88ce_f2ab_5b33_1d65),
    (TensorType::Q4_K, 0x40b7_37d4_c558_e1b6),
    (TensorType::Q5_K, 0x44db_23f2_9097_b926),
    (TensorType::Q6_K, 0xbcfb_383d_8605_4709),
    (TensorType::Q8_K, 0xc137_fa2c_53f9_e5c3),
    (TensorType::IQ2_XXS, 0x8b65_af46_95ad_c2cd),
    (TensorType::IQ2_XS, 0x4f88_d2f4_8a0e_eba1),
    (TensorType::IQ3_XXS, 0x49c2_e59d_8437_b41d),
    (TensorType::IQ1_S, 0x71b3_a8f8_9b05_7605),
    (TensorType::IQ4_NL, 0xe152_2771_f52a_6525),
    (TensorType::IQ3_S, 0x6485_a990_0026_3955),
    (TensorType::IQ2_S, 0xffc7_a38f_2327_06c1),
    (TensorType::IQ4_XS, 0xbf97_aeb4_39fa_865f),
    (TensorType::IQ1_M, 0x7fec_195e_193c_e505),
    (TensorType::TQ1_0, 0x9076_c773_5310_6325),
    (TensorType::TQ2_0, 0x569f_6e87_7804_6325),
    (TensorType::MXFP4, 0x6b25_f5b3_cca7_2325),
    (TensorType::NVFP4, 0xc635_c00a_1dd0_2325),
    (TensorType::Q1_0, 0xc789_45d5_1648_2325),
    (TensorType::Q2_0, 0x1779_d2e4_e71e_2325),
];

#[test]
fn all_block_types_give_the_values_that_ggml_gives() {
    let found: Vec<_> = TensorType::ALL
        .iter()
        .filter(|ty| ty.block_size() > 1 && **ty != TensorType::Q8_1)
        .map(|&ty| (ty, fingerprint(&values(ty, &noise(ty, 512)))))
        .collect();
    assert_eq!(found, RECORDED);
}

#[test]
fn large_tensors_are_converted_in_pieces_without_seams() {
    for ty in [TensorType::Q4_K, TensorType::NVFP4, TensorType::F16] {
        let blocks = 200_000 / ty.block_size() + 1;
        let bytes = noise(ty, blocks);
        let whole = values(ty, &bytes);
        let block_bytes = ty.block_bytes() as usize;
        let single: Vec<f32> = bytes
            .chunks(block_bytes)
            .flat_map(|block| values(ty, block))
            .collect();
        assert_eq!(fingerprint(&whole), fingerprint(&single), "{ty}");
    }
}

#[test]
fn tensors_of_a_file_by_name() {
    let mut writer = Writer::new();
    let data = [&ONE[..], &[2; 32]].concat();
    writer
        .tensor("x.weight", &[32], TensorType::Q8_0, data)
        .unwrap();
    writer
        .tensor("nothing.weight", &[0, 3], TensorType::F32, vec![])
        .unwrap();
    let file = File::from_bytes(writer.to_bytes()).unwrap();
    assert_eq!(file.tensor_f32("x.weight").unwrap(), [2.0; 32]);
    assert!(file.tensor_f32("nothing.weight").unwrap().is_empty());
    let error = file.tensor_f32("y.weight").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("y.weight"), "{error}");
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    for (bytes, elements) in [(18, 31), (17, 32), (19, 32), (36, 32), (0, 32), (18, 0)] {
        let error = dequantize(TensorType::Q4_0, &vec![0; bytes], &mut vec![0.0; elements]);
        assert_eq!(
            error.unwrap_err().kind(),
            ErrorKind::InvalidArgument,
            "{bytes} {elements}"
        );
    }
    dequantize(TensorType::Q4_0, &[], &mut []).unwrap();
}
