/// Digits of a new gid: lower case only, since databases of participants may compare without regard to case, and without
/// letters that are taken for digits.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new gid: 128 random bits as 26 characters.
pub(crate) fn new_gid() -> String {
    encode(rand::random())
}

fn encode(bits: u128) -> String {
    (0..26).rev().map(|place| char::from(DIGITS[(bits >> (place * 5) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_bit_is_in_the_text() {
        assert_eq!(encode(0), "0".repeat(26));
        assert_eq!(encode(u128::MAX), format!("7{}", "z".repeat(25)));
        let texts: HashSet<_> = (0..128).map(|bit| encode(1 << bit)).collect();
        assert_eq!(texts.len(), 128);
    }

    #[test]
    fn new_gids_differ() {
        let gids: HashSet<_> = (0..1000).map(|_| new_gid()).collect();
        assert_eq!(gids.len(), 1000);
    }
}
