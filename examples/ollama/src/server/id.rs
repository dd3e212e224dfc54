//! Names that are unique.

/// `prefix` and so many random letters and digits.
pub(crate) fn random(prefix: &str, length: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = vec![0; length];
    // Only uniqueness is lost when the system gives no random numbers, and nobody relies on it for safety.
    let _ = getrandom::fill(&mut bytes);
    let letters = bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    prefix.chars().chain(letters).collect()
}
