//! Bodies that are no JSON, or no JSON that anybody would write.

use super::Row;

/// Lists within lists, this many.
fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

pub(super) fn rows() -> Vec<Row> {
    let malformed = |name: &str, body: &[u8]| Row::submit(format!("body: {name}"), body, 500, "malformed_body");
    let mut rows = vec![
        malformed("nothing", b""),
        malformed("a space", b" "),
        malformed("null", b"null"),
        malformed("a number", b"7"),
        malformed("a text", b"\"text\""),
        malformed("a list", b"[]"),
        malformed("a list of an object", b"[{\"gid\":\"g\"}]"),
        malformed("two objects", b"{\"gid\":\"g\"}{\"gid\":\"h\"}"),
        malformed("an object that does not end", b"{\"gid\":\"g\",\"trans_type\":\"saga\""),
        malformed("an object that ends twice", b"{\"gid\":\"g\"}}"),
        malformed("a text that does not end", b"{\"gid\":\"g"),
        malformed("a byte order mark", b"\xef\xbb\xbf{\"gid\":\"g\"}"),
        malformed("UTF-16", b"{\0\"\0g\0i\0d\0\"\0:\0\"\0g\0\"\0}\0"),
        malformed("no UTF-8", b"{\"gid\":\"\xff\xfe\"}"),
        malformed("UTF-8 that is longer than it has to be", b"{\"gid\":\"\xc0\xaf\"}"),
        malformed("UTF-8 of half a character", b"{\"gid\":\"\xe5\x8d\"}"),
        malformed("NULs", b"\0\0\0\0"),
        malformed("a NUL inside a text", b"{\"gid\":\"a\0b\"}"),
        malformed("a line break inside a text", b"{\"gid\":\"a\nb\"}"),
        malformed("half a surrogate pair", b"{\"gid\":\"\\ud800\"}"),
        malformed("the other half", b"{\"gid\":\"\\udc00\"}"),
        malformed("the halves in the wrong order", b"{\"gid\":\"\\udc00\\ud800\"}"),
        malformed("half a surrogate pair in a key", b"{\"\\ud800\":1,\"gid\":\"g\"}"),
        malformed("an unknown escape", b"{\"gid\":\"\\x41\"}"),
        malformed("single quotes", b"{'gid':'g'}"),
        malformed("a key without quotes", b"{gid:\"g\"}"),
        malformed("a comma too many", b"{\"gid\":\"g\",}"),
        malformed("a comment", b"{\"gid\":\"g\"/* not JSON */}"),
        malformed("not a number", b"{\"timeout_to_fail\":NaN}"),
        malformed("an infinity", b"{\"timeout_to_fail\":-Infinity}"),
        malformed("a number past every range", b"{\"timeout_to_fail\":1e999}"),
        malformed("a number past every range where nobody looks", b"{\"unknown\":1e999}"),
        malformed("a number with a zero before it", b"{\"timeout_to_fail\":010}"),
        malformed("a known key twice", b"{\"gid\":\"g\",\"trans_type\":\"saga\",\"gid\":\"h\"}"),
        malformed("a known key twice in different cases", b"{\"gid\":\"g\",\"trans_type\":\"saga\",\"GID\":\"h\"}"),
        malformed("form fields", b"gid=g&trans_type=saga"),
        malformed("XML", b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><x>&e;</x>"),
    ];
    for depth in [64, 1000, 1_000_000] {
        let deep = nested(depth);
        rows.push(malformed(&format!("{depth} lists within each other"), format!("{{\"x\":{deep}}}").as_bytes()));
        rows.push(malformed(&format!("{depth} lists for a gid"), format!("{{\"gid\":{deep}}}").as_bytes()));
    }
    let objects = "{\"a\":".repeat(100_000);
    rows.push(malformed("objects within each other without end", objects.as_bytes()));
    // Nothing of these is looked at; what is missing is.
    let taken = |name: &str, body: String| Row::submit(format!("body: {name}"), body, 500, "no_gid");
    rows.push(taken("63 lists within each other", format!("{{\"x\":{}}}", nested(63))));
    rows.push(taken("an unknown key 100,000 times", format!("{{{}\"x\":1}}", "\"x\":1,".repeat(100_000))));
    rows.push(taken("a key of a megabyte", format!("{{\"{}\":1}}", "k".repeat(1_000_000))));
    rows.push(taken("a number of 100,000 digits", format!("{{\"x\":0.{}}}", "1".repeat(100_000))));
    rows
}
