//! Prompts of which no two begin alike, so that nothing that was computed for one helps another.

/// Words that most tokenizers know.
const WORDS: &[&str] = &[
    "the", "river", "carried", "small", "boats", "under", "old", "bridges", "while", "people",
    "watched", "from", "stone", "houses", "and", "talked", "about", "weather", "work", "music",
    "that", "came", "with", "evening", "light", "over", "green", "fields", "where", "horses",
    "walked", "slowly", "toward", "water", "before", "night", "fell", "on", "quiet", "streets",
    "of", "their", "town", "which", "had", "seen", "many", "years", "pass", "without", "great",
    "change", "though", "children", "grew", "learned", "to", "read", "books", "left", "for",
    "cities", "far", "away",
];

/// A prompt of so many words; the same for the same number alone.
pub(super) fn prompt(number: u64, words: u32) -> String {
    let mut state = number;
    // What is known by its number comes first.
    let mut text = format!("{number:x}");
    for _ in 1..words {
        let word = usize::try_from(next(&mut state) % WORDS.len() as u64).unwrap_or(0);
        text.push(' ');
        text += WORDS.get(word).copied().unwrap_or("and");
    }
    text
}

/// The next of a row of numbers that look random (SplitMix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::prompt;

    #[test]
    fn prompts_differ_from_their_first_word_on() {
        let prompts: Vec<String> = (0..100).map(|n| prompt(n << 40 | 7, 20)).collect();
        for prompt in &prompts {
            assert_eq!(prompt.split(' ').count(), 20);
        }
        let firsts: std::collections::HashSet<_> = prompts
            .iter()
            .map(|prompt| prompt.split(' ').next())
            .collect();
        let seconds: std::collections::HashSet<_> = prompts
            .iter()
            .map(|prompt| prompt.split_once(' '))
            .collect();
        assert_eq!((firsts.len(), seconds.len()), (100, 100));
        assert_eq!(prompt(5, 1), "5");
        assert_eq!(prompt(5, 30), prompt(5, 30));
    }
}
