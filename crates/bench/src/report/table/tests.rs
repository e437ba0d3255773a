use super::*;
use crate::report::{plot, sample};

#[test]
fn the_page_of_a_made_up_run_is_the_golden_one() {
    let results = sample::results();
    let page = page(&results, &plot::all(&results).unwrap());
    assert!(page == include_str!("../../../golden/results.txt"), "golden/results.txt differs from:\n{page}");
}

#[test]
fn a_run_without_numbers_still_says_where_it_was_made() {
    let results = Results { measurements: Vec::new(), lateness: Vec::new(), backlog: Vec::new(), ..sample::results() };
    let page = page(&results, &[]);
    assert!(page.contains("A Processor") && !page.contains("## "), "{page}");
}
