use super::super::json::Object as _;
use super::*;

fn begin(body: &str) -> Begin {
    decode_begin(body.as_bytes()).unwrap()
}

/// The code, status and message of a body that is refused.
fn refused(body: &str) -> (&'static str, u16, String) {
    let error = decode_begin(body.as_bytes()).expect_err(body);
    (error.code(), error.status(), error.to_string())
}

/// A saga with more keys put in, each with a comma behind it.
fn saga_with(keys: &str) -> String {
    format!(r#"{{{keys}"gid":"g","trans_type":"saga","steps":[{{"action":"http://a/x"}}]}}"#)
}

#[test]
fn a_saga_has_steps_with_ids_urls_and_payloads() {
    let begin = begin(
        r#"{"gid":"g","trans_type":"saga","payloads":["{\"n\": 1}",""],
            "steps":[{"action":"http://a/1","compensate":"HTTP://b/1"},{"action":"","compensate":""}]}"#,
    );
    assert_eq!((begin.gid.as_str(), begin.pattern), ("g", Pattern::Saga));
    let branch = |id: &str, forward: &str, backward: &str, payload: &'static str| Branch {
        id: BranchId::parse(id).unwrap(),
        forward_url: forward.to_owned(),
        backward_url: backward.to_owned(),
        payload: Bytes::from(payload),
    };
    assert_eq!(begin.branches, [branch("01", "http://a/1", "HTTP://b/1", r#"{"n": 1}"#), branch("02", "", "", "")]);
    assert_eq!(begin.options, Options::default());
}

#[test]
fn null_is_the_zero_value_of_every_known_field() {
    let keys = TransactionBody::KEYS.iter().filter(|key| !["gid", "trans_type"].contains(*key));
    let nulls: String = keys.map(|key| format!(r#""{key}":null,"#)).collect();
    let begin = begin(&format!(r#"{{{nulls}"gid":"g","trans_type":"tcc"}}"#));
    let zero = Begin {
        gid: Gid::parse("g").unwrap(),
        pattern: Pattern::Tcc,
        branches: Vec::new(),
        orders: Vec::new(),
        options: Options::default(),
        check_back_url: String::new(),
        custom_data: String::new(),
        business_key: None,
    };
    assert_eq!(begin, zero);
    let nulls = r#"{"gid":"g","trans_type":"saga","steps":[null,{"action":null,"data":null}],"payloads":[null]}"#;
    assert_eq!(super::decode_begin(nulls.as_bytes()).unwrap().branches.len(), 2);
    assert_eq!(refused(r#"{"gid":null,"trans_type":null}"#).0, "no_gid");
}

#[test]
fn unknown_keys_are_ignored_and_may_repeat() {
    let noise = r#""subType":"saga","subType":{"a":[1,2.5,{"b":null}]},"op":7,"":true,"#;
    assert_eq!(begin(&saga_with(noise)), begin(&saga_with("")));
}

#[test]
fn keys_match_whatever_their_case() {
    let upper = r#"{"GID":"g","Trans_Type":"saga","STEPS":[{"Action":"http://a/x"}],"Wait_Result":true}"#;
    assert_eq!(begin(upper), begin(&saga_with(r#""wait_result":true,"#)));
}

#[test]
fn a_known_key_given_twice_is_refused_whatever_its_case() {
    for twice in [r#""retry_limit":1,"retry_limit":1,"#, r#""retry_limit":1,"Retry_Limit":2,"#, r#""Gid":"h","#] {
        let (code, status, message) = refused(&saga_with(twice));
        assert_eq!((code, status), ("malformed_body", 500));
        assert!(message.contains("given twice"), "{message}");
    }
    assert!(refused(&saga_with(r#""branch_headers":{"a":"1","a":"2"},"#)).2.contains("a is given twice"));
}

#[test]
fn a_known_field_of_the_wrong_type_is_refused_and_named() {
    for (key, wrong) in [
        ("timeout_to_fail", r#""5""#),
        ("timeout_to_fail", "1.0"),
        ("timeout_to_fail", "1e1"),
        ("timeout_to_fail", "-1"),
        ("timeout_to_fail", "99999999999"),
        ("retry_limit", "true"),
        ("wait_result", "0"),
        ("wait_result", r#""true""#),
        ("concurrent", "[]"),
        ("custom_data", "{}"),
        ("query_prepared", "1"),
        ("payloads", r#""x""#),
        ("payloads", r#"[{"amount":30}]"#),
        ("payloads", "{}"),
        ("branches", r#"[{"branch_id":1}]"#),
        ("branch_headers", r#"["a"]"#),
        ("branch_headers", r#"{"a":1}"#),
        ("branch_headers", r#""a""#),
    ] {
        let (code, status, message) = refused(&saga_with(&format!(r#""{key}":{wrong},"#)));
        assert_eq!((code, status), ("malformed_body", 500), "{key} {wrong}");
        assert!(message.starts_with(&format!("{key}: ")), "{message}");
        assert!(message.contains(" at line 1 column "), "{message}");
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    for body in ["", " ", "null", "[]", "1", "\"x\"", "{bad", r#"{"gid":"g""#, r#"{"gid":"g"}x"#, "{'gid':'g'}"] {
        let (code, status, _) = refused(body);
        assert_eq!((code, status), ("malformed_body", 500), "{body}");
    }
    assert!(decode_begin(b"{\"gid\":\"\xff\",\"trans_type\":\"tcc\"}").is_err());
}

#[test]
fn a_text_that_is_no_unicode_is_refused_and_not_mended() {
    assert_eq!(refused(&saga_with(r#""payloads":["\ud800"],"#)).0, "malformed_body");
}

#[test]
fn nesting_has_a_limit_wherever_it_stands() {
    let deep = "[".repeat(200);
    for body in [saga_with(&format!(r#""x":{deep},"#)), saga_with(&format!(r#""steps":{deep},"#)), deep.clone()] {
        assert_eq!(refused(&body).0, "malformed_body");
    }
    let nested = |open: &str, close: &str, depth: usize| {
        saga_with(&format!(r#""x":{}0{},"#, open.repeat(depth), close.repeat(depth)))
    };
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        begin(&nested(open, close, 63));
        for too_deep in [64, 100_000] {
            assert!(refused(&nested(open, close, too_deep)).2.contains("within each other"), "{open} {too_deep}");
        }
    }
}

#[test]
fn size_has_a_limit_before_anything_is_read() {
    let (code, status, message) = refused(&saga_with(&format!(r#""x":"{}","#, "y".repeat(BODY_BYTES_MAX))));
    assert_eq!((code, status), ("too_large", 413));
    assert!(message.contains("at most 8388608"), "{message}");
    let long = "x".repeat(super::super::CUSTOM_DATA_BYTES_MAX + 1);
    assert_eq!(refused(&saga_with(&format!(r#""custom_data":"{long}","#))).1, 413);
}

#[test]
fn an_error_repeats_only_the_beginning_of_what_was_sent() {
    let (_, _, message) = refused(&saga_with(&format!(r#""timeout_to_fail":"{}","#, "ü".repeat(10_000))));
    assert!(message.len() < 310 && message.ends_with("..."), "{message}");
    let (_, _, message) = refused(&format!(r#"{{"gid":"g","trans_type":"{}"}}"#, "x".repeat(10_000)));
    assert!(message.len() < 350, "{message}");
}

#[test]
fn line_breaks_and_semicolons_are_no_part_of_a_gid() {
    let gid = |text: &str| begin(&format!(r#"{{"gid":"{text}","trans_type":"tcc"}}"#)).gid;
    assert_eq!(gid(r"a\r\nb;c;").as_str(), "abc");
    assert_eq!(gid("it's '  ' legal").as_str(), "it's '  ' legal");
    for (text, code) in
        [("", "no_gid"), (r"\n;", "no_gid"), (r"a\u0000", "invalid_gid"), (&"x".repeat(129), "invalid_gid")]
    {
        let body = format!(r#"{{"gid":"{text}","trans_type":"tcc"}}"#);
        assert_eq!((refused(&body).0, refused(&body).1), (code, 500));
    }
}

#[test]
fn only_the_four_patterns_are_known_and_workflow_is_not_supported_yet() {
    let body = |trans_type: &str| format!(r#"{{"gid":"g","trans_type":"{trans_type}"}}"#);
    for (name, pattern) in
        [("saga", Pattern::Saga), ("tcc", Pattern::Tcc), ("xa", Pattern::Xa), ("msg", Pattern::Message)]
    {
        assert_eq!(begin(&body(name)).pattern, pattern);
    }
    for name in ["", "Saga", "bogus"] {
        assert_eq!(refused(&body(name)).0, "unknown_trans_type");
    }
    assert_eq!(refused(&body("workflow")).1, 501);
}

#[test]
fn only_http_is_spoken_so_far() {
    let protocol = |name: &str| saga_with(&format!(r#""protocol":"{name}","#));
    assert_eq!(begin(&protocol("http")), begin(&protocol("")));
    assert_eq!(refused(&protocol("grpc")).2, "protocol grpc is not supported yet");
    assert_eq!(refused(&protocol("json-rpc")).1, 501);
    assert_eq!(refused(&protocol("smtp")).0, "unknown_protocol");
}

#[test]
fn a_payload_stands_in_payloads_or_in_its_step_and_stays_byte_for_byte() {
    let payloads = |body: &str| begin(body).branches.into_iter().map(|b| b.payload).collect::<Vec<_>>();
    let body = r#"{"gid":"g","trans_type":"msg","steps":[{"data":"old 0"},{"data":"old 1"},{}],"payloads":["{\"n\" : 1.50,\u00e9\t}"]}"#;
    assert_eq!(payloads(body), ["{\"n\" : 1.50,é\t}", "old 1", ""]);
    let body = r#"{"gid":"g","trans_type":"msg","steps":[{}],"payloads":["a","b"]}"#;
    assert_eq!(refused(body).0, "payload_without_step");
}

#[test]
fn concurrency_stands_where_each_pattern_looks_for_it() {
    let concurrent = |keys: &str| begin(&format!(r#"{{"gid":"g",{keys}}}"#)).options.concurrent;
    assert!(!concurrent(r#""trans_type":"saga","concurrent":true"#));
    assert!(concurrent(r#""trans_type":"saga","custom_data":"{\"concurrent\":true}""#));
    for other in ["msg", "tcc", "xa"] {
        assert!(concurrent(&format!(r#""trans_type":"{other}","concurrent":true"#)));
        assert!(!concurrent(&format!(r#""trans_type":"{other}","concurrent":false"#)));
    }
    assert!(!concurrent(r#""trans_type":"tcc","custom_data":"{\"concurrent\":true}""#));
}

#[test]
fn options_are_seconds_and_zero_says_nothing() {
    let options = begin(&saga_with(
        r#""timeout_to_fail":7,"request_timeout":8,"retry_interval":9,"retry_limit":2,"wait_result":true,
            "branch_headers":{"X-B":"2","X-A":null},"#,
    ))
    .options;
    let expected = Options {
        request_timeout: Some(Duration::from_secs(8)),
        retry_interval: Some(Duration::from_secs(9)),
        timeout_to_fail: Some(Duration::from_secs(7)),
        retry_limit: 2,
        branch_headers: vec![("X-B".to_owned(), "2".to_owned()), ("X-A".to_owned(), String::new())],
        wait_result: true,
        ..Options::default()
    };
    assert_eq!(options, expected);
    let zeros = r#""timeout_to_fail":0,"request_timeout":0,"retry_interval":0,"retry_limit":0,"branch_headers":[],"#;
    assert_eq!(begin(&saga_with(zeros)).options, Options::default());
}

#[test]
fn the_delay_of_a_message_and_the_orders_of_a_saga_come_from_custom_data() {
    let message = begin(r#"{"gid":"g","trans_type":"msg","custom_data":"{\"delay\":3}"}"#);
    assert_eq!(message.options.delay, Some(Duration::from_secs(3)));
    assert_eq!(message.custom_data, r#"{"delay":3}"#);
    let saga = begin(&saga_with(r#""custom_data":"{\"orders\":{\"1\":[0]}}","#));
    assert_eq!(saga.orders, [vec![], vec![0]]);
    assert_eq!(refused(&saga_with(r#""custom_data":"not json","#)).0, "invalid_custom_data");
    assert_eq!(begin(r#"{"gid":"g","trans_type":"tcc","custom_data":"not json"}"#).custom_data, "not json");
}

#[test]
fn tcc_and_xa_may_declare_their_branches_and_have_no_steps() {
    let tcc = begin(
        r#"{"gid":"g","trans_type":"tcc","steps":[{"action":"x"}],"payloads":["x","y"],
            "branches":[{"branch_id":"02","confirm":"http://a/c","cancel":"http://a/u","data":"d"}]}"#,
    );
    assert_eq!(tcc.branches.len(), 1);
    assert_eq!(
        (tcc.branches[0].forward_url.as_str(), tcc.branches[0].backward_url.as_str()),
        ("http://a/c", "http://a/u")
    );
    assert_eq!((tcc.branches[0].id.as_str(), &tcc.branches[0].payload[..]), ("02", &b"d"[..]));
    let xa = begin(r#"{"gid":"g","trans_type":"xa","branches":[{"branch_id":"01","url":"http://a/x"}]}"#);
    assert_eq!(
        (xa.branches[0].forward_url.as_str(), xa.branches[0].backward_url.as_str()),
        ("http://a/x", "http://a/x")
    );
    let xa = |branch: &str| format!(r#"{{"gid":"g","trans_type":"xa","branches":[{branch}]}}"#);
    assert_eq!(refused(&xa(r#"{"branch_id":"01"}"#)).0, "no_xa_url");
    assert_eq!(refused(&xa(r#"{"url":"http://a/x"}"#)).0, "invalid_branch_id");
}

#[test]
fn a_url_that_cannot_be_called_is_refused_while_somebody_listens() {
    let never_http = ["nacos://service/path", "localhost:80/x", "htt", "/x", "ürl", " http://a"];
    let no_host = ["http://", "http:///path", "http://:80/", "http://u@/", "http://?x", "http://#x"];
    let no_port = ["http://a:port/", "http://a:65536/", "http://a:-1/", "http://a:/", "http://u@a:x/"];
    let illegal =
        ["http://a/b c", "http://a b/", "http://a/\\u0000", "http://a/\\r\\nx: y", "http://a/\\u007f", "http://[::1/"];
    for url in [never_http.as_slice(), &no_host, &no_port, &illegal].concat() {
        let saga = format!(r#"{{"gid":"g","trans_type":"saga","steps":[{{"compensate":"{url}"}}]}}"#);
        assert_eq!(refused(&saga).0, "unsupported_url", "{url}");
        let message = format!(r#"{{"gid":"g","trans_type":"msg","query_prepared":"{url}"}}"#);
        assert!(refused(&message).2.starts_with("query_prepared: no http://"), "{url}");
    }
    for url in
        ["HTTP://a", "http://a?x", "http://u:p%40@a:80/b%20c/ü?z=1#frag ment", "http://[::1]", "http://[::1]:8080/"]
    {
        begin(&format!(r#"{{"gid":"g","trans_type":"saga","steps":[{{"action":"{url}"}}]}}"#));
    }
    let encrypted = r#"{"gid":"g","trans_type":"saga","steps":[{"action":"https://a/x"}]}"#;
    assert_eq!((refused(encrypted).0, refused(encrypted).1), ("not_supported", 501));
}

#[test]
fn only_a_message_goes_to_a_topic() {
    let body = |trans_type| format!(r#"{{"gid":"g","trans_type":"{trans_type}","steps":[{{"action":"topic://t"}}]}}"#);
    assert_eq!(begin(&body("msg")).branches[0].topic(), Some("t"));
    assert_eq!(refused(&body("saga")).0, "unsupported_url");
    let check_back = r#"{"gid":"g","trans_type":"msg","query_prepared":"topic://t"}"#;
    assert_eq!(refused(check_back).0, "unsupported_url");
}

#[test]
fn a_header_line_that_http_does_not_allow_is_refused() {
    for header in [r#""":"1""#, r#""a b":"1""#, r#""ä":"1""#, r#""a":"1\r\nb: 2""#, r#""a":"\u0000""#] {
        assert_eq!(refused(&saga_with(&format!(r#""branch_headers":{{{header}}},"#))).0, "invalid_branch_header");
    }
    for reserved in ["Host", "content-length", "Transfer-ENCODING", "connection", "Proxy-Connection"] {
        let set = saga_with(&format!(r#""branch_headers":{{"{reserved}":"1"}},"#));
        assert_eq!(refused(&set).0, "invalid_branch_header", "{reserved}");
    }
    assert_eq!(begin(&saga_with(r#""branch_headers":{"x-ok":"ä\t!"},"#)).options.branch_headers.len(), 1);
    let long = format!(r#""branch_headers":{{"a":"{}"}},"#, "x".repeat(BRANCH_HEADERS_BYTES_MAX));
    assert_eq!(refused(&saga_with(&long)).1, 413);
}

#[test]
fn lists_and_maps_have_a_limit_that_is_one_of_size() {
    let list = |trans_type: &str, key: &str, entry: &str, count: usize| {
        let entries = vec![entry; count].join(",");
        decode_begin(format!(r#"{{"gid":"g","trans_type":"{trans_type}","{key}":[{entries}]}}"#).as_bytes())
    };
    let headers = |count: usize| {
        let entries: Vec<_> = (0..count).map(|i| format!(r#""h{i}":"""#)).collect();
        decode_begin(saga_with(&format!(r#""branch_headers":{{{}}},"#, entries.join(","))).as_bytes())
    };
    let branch = r#"{"branch_id":"1"}"#;
    for (most, too_many, message) in [
        (
            list("saga", "steps", "{}", 1_000),
            list("saga", "steps", "{}", 1_003),
            "steps has 1003 entries, at most 1000",
        ),
        (list("tcc", "branches", "{}", 0), list("tcc", "branches", branch, 1_001), "branches has 1001 entries"),
        (list("tcc", "payloads", "null", 0), list("saga", "payloads", "null", 1_001), "payloads has 1001 entries"),
        (
            list("xa", "passthrough_headers", "null", 32),
            list("xa", "passthrough_headers", "null", 33),
            "has 33 entries",
        ),
        (headers(32), headers(33), "branch_headers has 33 entries, at most 32 are allowed"),
    ] {
        most.unwrap();
        let error = too_many.unwrap_err();
        assert_eq!((error.code(), error.status()), ("too_large", 413), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    let broken = format!(r#"{{"gid":"g","trans_type":"saga","steps":[{}{{]}}"#, "{},".repeat(1_000));
    assert_eq!(refused(&broken).0, "malformed_body", "what is too much has to be JSON all the same");
}

#[test]
fn named_headers_of_the_request_are_passed_on_before_the_branch_headers() {
    let of_request = |name: &str| match name.to_ascii_lowercase().as_str() {
        "x-tenant" => Some("t1".to_owned()),
        "x-user" => Some("u1".to_owned()),
        "content-length" => Some("7".to_owned()),
        "escrow-business-key" => Some("of the request".to_owned()),
        _ => None,
    };
    let with = |keys: &str| decode_begin_with(saga_with(keys).as_bytes(), of_request);
    let headers = |keys: &str| {
        let headers = with(keys).unwrap().options.branch_headers;
        headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
    };
    let named = r#""passthrough_headers":["X-Tenant","x-user","x-absent","",null,"x-TENANT","Content-Length"],"#;
    assert_eq!(headers(named), ["X-Tenant: t1", "x-user: u1"]);
    let both = named.to_owned() + r#""branch_headers":{"X-User":"u2","a":"b"},"#;
    assert_eq!(headers(&both), ["X-Tenant: t1", "X-User: u2", "a: b"]);
    for nothing in ["", r#""passthrough_headers":null,"#, r#""passthrough_headers":[],"#] {
        assert_eq!(headers(nothing), [""; 0]);
    }
    assert!(
        begin(&saga_with(named)).options.branch_headers.is_empty(),
        "without a request there is nothing to pass on"
    );

    let full: Vec<_> = (0..32).map(|i| format!(r#""h{i}":"""#)).collect();
    let full = format!(r#""passthrough_headers":["x-user"],"branch_headers":{{{}}},"#, full.join(","));
    assert_eq!(with(&full).unwrap_err().code(), "too_large");
    let long = |_: &str| Some("x".repeat(BRANCH_HEADERS_BYTES_MAX));
    let long = decode_begin_with(saga_with(r#""passthrough_headers":["a"],"#).as_bytes(), long).unwrap_err();
    assert_eq!((long.code(), long.status()), ("too_large", 413));
}

#[test]
fn the_business_key_may_stand_in_a_branch_header() {
    let key = |keys: &str| begin(&saga_with(keys)).business_key.map(|key| key.as_str().to_owned());
    let header = r#""branch_headers":{"Escrow-Business-Key":"order-7"},"#;
    assert_eq!(key(header).as_deref(), Some("order-7"));
    assert_eq!(key(&format!(r#"{header}"business_key":"order-8","#)).as_deref(), Some("order-8"));
    assert_eq!(key(r#""branch_headers":{"escrow-business-key":""},"#), None);
    let long = format!(r#""branch_headers":{{"escrow-business-key":"{}"}},"#, "x".repeat(129));
    assert_eq!(refused(&saga_with(&long)).0, "invalid_business_key");
}

#[test]
fn an_abort_reads_gid_type_and_reason_only() {
    let body = r#"{"gid":"g","trans_type":"msg","rollback_reason":"no funds","steps":7,"custom_data":{}}"#;
    let abort = decode_abort(body.as_bytes()).unwrap();
    assert_eq!((abort.gid.as_str(), abort.pattern, abort.reason.as_deref()), ("g", Pattern::Message, Some("no funds")));
    let silent = decode_abort(br#"{"gid":"g","trans_type":"tcc","rollback_reason":null}"#).unwrap();
    assert_eq!(silent.reason, None);
}

#[test]
fn a_long_reason_is_cut_and_does_not_keep_an_abort_from_being_carried_out() {
    let body = format!(r#"{{"gid":"g","trans_type":"tcc","rollback_reason":"a{}"}}"#, "ü".repeat(REASON_BYTES_MAX));
    let reason = decode_abort(body.as_bytes()).unwrap().reason.unwrap();
    assert_eq!(reason.len(), REASON_BYTES_MAX - 1);
}
