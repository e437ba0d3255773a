use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: RunArgs,
}

/// No peer is installed but dtmrs.
fn programs() -> Programs {
    Programs {
        escrow: "escrow".into(),
        bench: "escrow-bench".into(),
        dtmrs: Some("dtmrs".into()),
        redis: None,
        postgres: None,
    }
}

fn typed(line: &str) -> Result<RunArgs, clap::Error> {
    let words = std::iter::once("run").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args)
}

fn plan(line: &str) -> Plan {
    Plan::new(&typed(line).unwrap(), &programs(), &mut Vec::new()).unwrap()
}

fn refusal(line: &str) -> String {
    Plan::new(&typed(line).unwrap(), &programs(), &mut Vec::new()).unwrap_err().to_string()
}

#[test]
fn without_arguments_everything_but_peers_is_measured() {
    let plan = plan("");
    assert_eq!(plan.parts.len(), 4);
    assert_eq!(plan.workloads, Workload::ALL);
    assert_eq!(plan.targets, [Target::Null, Target::Embedded, Target::Sqlite]);
    assert_eq!(plan.clients, [1, 16, 64, 256]);
    assert_eq!(plan.percents, [25, 50, 75]);
    assert_eq!((plan.rounds, plan.capacity_clients(), plan.quick), (3, 64, false));
    assert_eq!((plan.warmup, plan.length), (Duration::from_secs(1), Duration::from_secs(4)));
}

#[test]
fn the_quick_form_is_small_in_every_respect() {
    let quick = plan("--quick");
    assert_eq!((quick.rounds, quick.capacity_clients(), quick.quick), (1, 4, true));
    assert_eq!(quick.workloads, Workload::ALL);
    assert!(quick.estimate() < Duration::from_secs(60), "{:?}", quick.estimate());
    assert_eq!((quick.share(600.0, 50), quick.share(1e6, 50)), (300.0, 500.0));
    assert_eq!(plan("").share(1e6, 75), 750_000.0);
    assert!(plan("").estimate() > Duration::from_secs(20 * 60));
}

#[test]
fn someone_who_tunes_gets_one_load_and_nothing_else() {
    let plan =
        plan("--parts closed --only saga --clients 64 --rounds 5 --seconds 2.5 --warmup 0 --targets embedded,null");
    assert_eq!(plan.closed_clients(), [64]);
    assert!(plan.open_percents().is_empty());
    assert_eq!(plan.workloads, [Workload::Saga]);
    assert_eq!(plan.targets, [Target::Null, Target::Embedded]);
    assert_eq!((plan.rounds, plan.warmup, plan.length), (5, Duration::ZERO, Duration::from_millis(2500)));
}

#[test]
fn lists_are_sorted_and_hold_nothing_twice() {
    let plan = plan("--clients 256,1,256 --only xa,saga,xa");
    assert_eq!(plan.clients, [1, 256]);
    assert_eq!(plan.workloads, [Workload::Saga, Workload::Xa]);
    assert_eq!(plan.capacity_clients(), 256);
}

#[test]
fn an_open_loop_alone_still_measures_the_capacity() {
    let plan = plan("--parts open");
    assert_eq!(plan.closed_clients(), [64]);
    assert_eq!(plan.open_percents(), [25, 50, 75]);
}

#[test]
fn a_bad_value_is_refused_with_flag_value_and_range() {
    assert_eq!(refusal("--rounds 0"), "--rounds 0: allowed is 1 to 100");
    assert_eq!(refusal("--clients 4,0"), "--clients 0: allowed is 1 to 4096");
    assert_eq!(refusal("--clients 5000"), "--clients 5000: allowed is 1 to 4096");
    assert_eq!(refusal("--seconds 0"), "--seconds 0: allowed is 0.1 to 600");
    assert_eq!(refusal("--seconds nan"), "--seconds NaN: allowed is 0.1 to 600");
    assert_eq!(refusal("--warmup 61"), "--warmup 61: allowed is 0 to 60");
}

#[test]
fn a_name_that_does_not_exist_is_refused_with_those_that_do() {
    let error = typed("--only sagas").unwrap_err().to_string();
    assert!(error.contains("--only") && error.contains("sagas") && error.contains("tcc-declared"), "{error}");
    assert!(typed("--parts warmth").is_err());
    assert!(typed("--targets dtm").is_err());
}

#[test]
fn peers_without_a_server_are_left_out_and_named() {
    let mut missing = Vec::new();
    let plan = Plan::new(&typed("--peers").unwrap(), &programs(), &mut missing).unwrap();
    assert_eq!(plan.targets.last(), Some(&Target::Dtmrs(DtmrsStore::Sqlite)));
    assert!(missing[0].contains("Redis") && missing[1].contains("PostgreSQL"), "{missing:?}");

    let redis = Programs { redis: Some("redis-server".into()), ..programs() };
    let plan = Plan::new(&typed("--peers").unwrap(), &redis, &mut Vec::new()).unwrap();
    assert_eq!(plan.targets.last(), Some(&Target::Dtmrs(DtmrsStore::Redis)));
}

#[test]
fn a_program_that_was_asked_for_and_is_missing_is_an_error() {
    let none = Programs { dtmrs: None, ..programs() };
    let error = Plan::new(&typed("--peers").unwrap(), &none, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "--peers: dtmrs is not installed");
    assert_eq!(refusal("--dtm /no/such/dtm"), "--dtm /no/such/dtm: there is no such file");
}

#[test]
fn peers_are_estimated_for_the_workloads_they_know_only() {
    let with = plan("--peers --parts closed").estimate();
    let without = plan("--parts closed").estimate();
    // dtmrs knows three of the five workloads.
    assert_eq!(with.mul_f64(15.0), without.mul_f64(18.0));
}
