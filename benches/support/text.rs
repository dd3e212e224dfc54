//! A text to tokenize and to prefill with: prose, code, numbers and several scripts.

/// One page; repeat it for more.
pub(crate) const PAGE: &str = "\
It was late when the ferry came in, and the harbour had already put out most of its lights. \
Nobody waited on the pier except a boy with a lantern, who counted the passengers as they \
stepped over the rail: forty-one, forty-two, forty-three. \"One is missing,\" he said.

fn main() {
    let total: u64 = (1..=100).filter(|n| n % 3 == 0).map(|n| n * n).sum();
    println!(\"{total:>12}\"); // 112,761 + 0x1F = ?
}

Die Brücke über den Fluß wurde 1897 gebaut und ist 1.204,5 m lang. Où est-ce qu'on peut \
manger à cette heure-ci ? Сколько стоит билет до моря? 明日は朝から雨が降るそうです。🚲🌧️
";
