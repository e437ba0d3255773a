use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::Begin;
use crate::laws::samples::{branch, definition};

fn with_branch(change: impl FnOnce(&mut Branch)) -> Result<(), InvalidDefinition> {
    let mut def = definition(Pattern::Saga, 2);
    change(&mut def.branches[1]);
    def.check()
}

fn orders(concurrent: bool, orders: &[&[u16]]) -> Result<(), InvalidDefinition> {
    let mut def = definition(Pattern::Saga, 3);
    def.options.concurrent = concurrent;
    def.orders = orders.iter().map(|earlier| earlier.to_vec()).collect();
    def.check()
}

#[test]
fn branches_end_at_their_limit() {
    assert_eq!(definition(Pattern::Saga, limits::BRANCHES_MAX).check(), Ok(()));
    let count = limits::BRANCHES_MAX + 1;
    assert_eq!(definition(Pattern::Saga, count).check(), Err(InvalidDefinition::TooManyBranches { count }));
}

#[test]
fn urls_end_at_their_limit() {
    let url = |bytes: usize| "u".repeat(bytes);
    assert_eq!(with_branch(|b| b.forward_url = url(limits::URL_BYTES_MAX)), Ok(()));
    assert_eq!(with_branch(|b| b.backward_url = url(limits::URL_BYTES_MAX)), Ok(()));
    let too_long = |what| Err(InvalidDefinition::UrlTooLong { branch: BranchId::of_step(1), what });
    assert_eq!(with_branch(|b| b.forward_url = url(limits::URL_BYTES_MAX + 1)), too_long("forward URL"));
    assert_eq!(with_branch(|b| b.backward_url = url(limits::URL_BYTES_MAX + 1)), too_long("backward URL"));

    let mut def = definition(Pattern::Message, 1);
    def.check_back_url = url(limits::URL_BYTES_MAX);
    assert_eq!(def.check(), Ok(()));
    def.check_back_url.push('u');
    assert_eq!(def.check(), Err(InvalidDefinition::CheckBackUrlTooLong));
}

#[test]
fn payloads_end_at_their_limits() {
    let payload = |bytes: usize| Bytes::from(vec![0; bytes]);
    assert_eq!(with_branch(|b| b.payload = payload(limits::PAYLOAD_BYTES_MAX)), Ok(()));
    let too_large = InvalidDefinition::PayloadTooLarge { branch: BranchId::of_step(1) };
    assert_eq!(with_branch(|b| b.payload = payload(limits::PAYLOAD_BYTES_MAX + 1)), Err(too_large));

    let mut def = definition(Pattern::Saga, 3);
    def.branches[0].payload = payload(limits::PAYLOAD_BYTES_MAX);
    def.branches[1].payload = payload(limits::PAYLOADS_BYTES_MAX - limits::PAYLOAD_BYTES_MAX);
    assert_eq!(def.check(), Ok(()));
    def.branches[2].payload = payload(1);
    assert_eq!(def.check(), Err(InvalidDefinition::PayloadsTooLarge));
}

#[test]
fn branch_headers_end_at_their_limit() {
    let mut def = definition(Pattern::Saga, 1);
    def.options.branch_headers = vec![(String::new(), String::new()); limits::BRANCH_HEADERS_MAX];
    assert_eq!(def.check(), Ok(()));
    def.options.branch_headers.push((String::new(), String::new()));
    let count = limits::BRANCH_HEADERS_MAX + 1;
    assert_eq!(def.check(), Err(InvalidDefinition::TooManyHeaders { count }));
}

#[test]
fn orders_end_at_their_limit() {
    // Step 150 and later ones wait for as many of the first 100 as it takes.
    let mut def = definition(Pattern::Saga, 300);
    def.orders = (0..300).map(|step| if step < 150 { Vec::new() } else { (0..100).collect() }).collect();
    def.orders.truncate(150 + limits::ORDERS_MAX / 100);
    assert_eq!(def.check(), Ok(()));
    def.orders.push(vec![0]);
    assert_eq!(def.check(), Err(InvalidDefinition::TooManyOrders { count: limits::ORDERS_MAX + 1 }));
}

#[test]
fn a_branch_is_declared_once() {
    let duplicate = InvalidDefinition::DuplicateBranch { branch: BranchId::of_step(0) };
    assert_eq!(with_branch(|b| b.id = BranchId::of_step(0)), Err(duplicate));
}

#[test]
fn a_step_waits_only_for_other_steps_that_exist() {
    let bad = |step, waits_for| Err(InvalidDefinition::BadOrder { step, waits_for });
    assert_eq!(orders(true, &[&[], &[0], &[0, 1]]), Ok(()));
    assert_eq!(orders(true, &[&[0]]), bad(0, 0));
    assert_eq!(orders(true, &[&[], &[3]]), bad(1, 3));
    assert_eq!(orders(true, &[&[], &[], &[], &[0]]), bad(3, 0));
}

#[test]
fn steps_do_not_wait_for_each_other_in_a_circle() {
    assert_eq!(orders(true, &[&[1], &[2]]), Ok(()));
    assert_eq!(orders(true, &[&[1], &[2], &[0]]), Err(InvalidDefinition::CircularOrders));
    assert_eq!(orders(true, &[&[1], &[0]]), Err(InvalidDefinition::CircularOrders));
    // One after the other, waiting for a later step is a circle too.
    assert_eq!(orders(false, &[&[1]]), Err(InvalidDefinition::CircularOrders));
    assert_eq!(orders(false, &[&[], &[0]]), Ok(()));
}

#[test]
fn neither_options_nor_free_text_nor_the_check_back_are_in_the_digest() {
    let plain = definition(Pattern::Message, 2);
    let begin = Begin {
        gid: plain.gid.clone(),
        pattern: plain.pattern,
        branches: plain.branches.clone(),
        orders: Vec::new(),
        options: plain.options.clone(),
        check_back_url: plain.check_back_url.clone(),
        custom_data: String::new(),
        business_key: None,
    };
    let other = Begin {
        options: Options { timeout_to_fail: Some(Duration::from_secs(1)), ..Options::default() },
        check_back_url: String::new(),
        custom_data: "text".to_owned(),
        business_key: Some(BusinessKey::parse("order-1").unwrap()),
        ..begin.clone()
    };
    assert_eq!(begin.digest(), other.digest());
    let without_steps = Begin { branches: Vec::new(), ..begin.clone() };
    assert_eq!(without_steps.digest(), None);
    assert_eq!(begin.clone().into_definition(plain.created_at).digest, begin.digest());
}

/// Records hold digests: computed otherwise, a repeated request after an update would look like another transaction. The
/// expected values were computed from the description alone, by another program.
#[test]
fn the_digest_of_known_steps_does_not_drift() {
    let digest = |pattern| Digest::of(pattern, &definition(pattern, 2).branches).unwrap();
    assert_eq!(format!("{:?}", digest(Pattern::Saga)), "4d6779bbfb3aa40e79c5c857e661fc4b");
    assert_eq!(format!("{:?}", digest(Pattern::Message)), "5368bde4e7dd48d41a42ff3f0d502142");
    let saga = digest(Pattern::Saga);
    assert_eq!(Digest::from_bytes(*saga.as_bytes()), saga);
}

fn branches() -> impl Strategy<Value = Vec<Branch>> {
    // Few and short texts, so that equal ones and shifted boundaries are common.
    let branch = ("[ab]{1,2}", "[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}");
    let branch = branch.prop_map(|(id, forward_url, backward_url, payload)| Branch {
        id: BranchId::parse(id).unwrap(),
        forward_url,
        backward_url,
        payload: Bytes::from(payload),
    });
    prop::collection::vec(branch, 0..3)
}

proptest! {
    #[test]
    fn every_field_of_every_step_is_in_the_digest(steps in branches(), at in any::<prop::sample::Index>(), field in 0..4) {
        prop_assume!(!steps.is_empty());
        let mut other = steps.clone();
        let step = &mut other[at.index(steps.len())];
        match field {
            0 => step.id = BranchId::parse(format!("{}c", step.id)).unwrap(),
            1 => step.forward_url.push('c'),
            2 => step.backward_url.push('c'),
            _ => step.payload = Bytes::from([&step.payload[..], b"c"].concat()),
        }
        prop_assert_ne!(Digest::of(Pattern::Saga, &steps), Digest::of(Pattern::Saga, &other));
    }

    #[test]
    fn only_equal_steps_in_equal_order_have_equal_digests(a in branches(), b in branches()) {
        prop_assert_eq!(Digest::of(Pattern::Saga, &a) == Digest::of(Pattern::Saga, &b), a == b);
    }

    #[test]
    fn a_byte_that_moves_to_the_next_field_changes_the_digest(text in "[a-z]{2,6}", at in 1_usize..5) {
        let at = at.min(text.len() - 1);
        let split = |at: usize| {
            let (url, payload) = text.split_at(at);
            let step = Branch { backward_url: url.to_owned(), payload: Bytes::from(payload.to_owned()), ..branch(0) };
            Digest::of(Pattern::Saga, &[step])
        };
        prop_assert_ne!(split(at), split(at - 1));
    }

    #[test]
    fn the_pattern_is_in_the_digest(steps in branches()) {
        let digests: Vec<_> = [Pattern::Saga, Pattern::Tcc, Pattern::Xa, Pattern::Message]
            .into_iter()
            .filter_map(|pattern| Digest::of(pattern, &steps))
            .collect();
        let distinct: std::collections::BTreeSet<_> = digests.iter().map(Digest::as_bytes).collect();
        prop_assert_eq!(distinct.len(), digests.len());
    }
}
