//! What may stand in a request, and what may not.

use serde_json::{Value, json};

use crate::support::{Coordinator, Participant, global, msg, saga, tcc_branch, with, xa_branch};

#[tokio::test]
async fn nulls_unknown_keys_and_keys_in_any_case_are_taken() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let url = participant.url("in");
    let text = format!(
        r#"{{"subType":"x","GID":"g","Trans_Type":"saga","subType":["again"],"STEPS":[{{"Action":"{url}","COMPENSATE":null,"data":null}}],
            "Payloads":["{{}}"],"custom_data":null,"branch_headers":null,"query_prepared":null,"protocol":null,"wait_result":null,
            "timeout_to_fail":null,"request_timeout":null,"retry_interval":null,"retry_limit":null,"concurrent":null,
            "rollback_reason":null,"passthrough_headers":[],"req_extra":{{"a":[1.5,null]}},"retry_count":0,"branch_id":7}}"#
    );
    assert_eq!(escrow.post_text("submit", &text).await.status, 200);
    escrow.until_status("g", "succeed").await;
    assert_eq!(participant.paths(), ["in"]);
}

#[tokio::test]
async fn an_empty_list_stands_for_an_empty_map_and_a_list_for_the_orders() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let body = with(saga(&participant, "maps"), "branch_headers", json!([]));
    escrow.accepts("submit", with(body, "custom_data", r#"{"concurrent":true,"orders":[]}"#)).await;
    escrow.until_status("maps", "succeed").await;
    let before = participant.calls().len();
    let body = with(saga(&participant, "list"), "custom_data", r#"{"concurrent":true,"orders":[[1],[]]}"#);
    escrow.accepts("submit", body).await;
    escrow.until_status("list", "succeed").await;
    assert_eq!(participant.paths()[before..], ["in", "out"]);
}

#[tokio::test]
async fn seconds_are_whole_numbers_and_texts_are_texts() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for key in ["timeout_to_fail", "request_timeout", "retry_interval", "retry_limit"] {
        for value in [json!(1.5), json!("1"), json!(-1), json!(true), json!([])] {
            let reply = escrow.post("submit", &with(saga(&participant, "g"), key, value.clone())).await;
            assert_eq!((reply.status, reply.code()), (500, "malformed_body"), "{key} {value}");
        }
    }
    for (key, value) in
        [("gid", json!(7)), ("trans_type", json!(true)), ("payloads", json!([{}])), ("steps", json!({}))]
    {
        let reply = escrow.post("submit", &with(saga(&participant, "g"), key, value.clone())).await;
        assert_eq!((reply.status, reply.code()), (500, "malformed_body"), "{key} {value}");
    }
    assert!(escrow.query("g").await.transaction().is_null());
}

#[tokio::test]
async fn a_registration_is_read_leniently_and_what_cannot_be_read_is_a_400() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("prepare", global("g", "tcc")).await;
    // Old PHP clients number their branches 10, 20, ...; others send what phase one was about.
    let branch = with(with(tcc_branch(&participant, "g", "10"), "branch_id", 10), "status", "prepared");
    let branch = with(with(branch, "try", participant.url("try")), "subType", Value::Null);
    for route in ["registerBranch", "registerTccBranch", "registerXaBranch"] {
        escrow.accepts(route, branch.clone()).await;
    }
    assert_eq!(escrow.query("g").await.names(), ["10 cancel", "10 confirm"]);
    for text in ["", "null", "[]", "{bad", r#"{"gid":{}}"#] {
        let reply = escrow.post_text("registerBranch", text).await;
        assert_eq!((reply.status, reply.message().is_empty()), (400, false), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_object_is_an_error_with_a_message() {
    let escrow = Coordinator::start().await;
    for route in ["prepare", "submit", "abort", "forceStop"] {
        for text in ["", "null", "[]", "7", "\"x\"", "{bad", r#"{"gid":"g""#] {
            let reply = escrow.post_text(route, text).await;
            assert_eq!((reply.status, reply.message().is_empty()), (500, false), "{route} {text}");
            assert!(reply.json()["dtm_result"].is_null(), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn any_character_may_stand_in_a_gid_and_in_a_branch_id() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let long = "é".repeat(128);
    for id in ["'  '", "a/b?c#d%20&e=f+g", "订单-1", "\\\"{}[]", "..", &long] {
        escrow.accepts("prepare", global(id, "tcc")).await;
        escrow.accepts("registerBranch", with(tcc_branch(&participant, id, "x"), "branch_id", id)).await;
        escrow.accepts("submit", global(id, "tcc")).await;
        let shown = escrow.until_status(id, "succeed").await;
        assert_eq!(shown.transaction()["gid"], id);
        assert_eq!(shown.names(), [format!("{id} cancel"), format!("{id} confirm")]);
        let parameters = participant.calls().pop().unwrap().parameters();
        let expected = [("branch_id", id), ("gid", id), ("op", "confirm"), ("trans_type", "tcc")];
        assert_eq!(parameters, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    assert_eq!(escrow.post("prepare", &global(&"x".repeat(129), "tcc")).await.code(), "invalid_gid");
}

#[tokio::test]
async fn line_breaks_and_semicolons_are_taken_out_of_a_gid() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("prepare", global("g\r\n;1", "tcc")).await;
    escrow.accepts("registerBranch", tcc_branch(&participant, ";g1\n", "01")).await;
    escrow.accepts("abort", global("g1", "tcc")).await;
    escrow.until_status("g1", "failed").await;
}

#[tokio::test]
async fn a_gid_that_begins_another_one_has_its_own_branches() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let gids = ["pay-1", "pay-10", "pay-1001", "pay-1-x", "pay"];
    for gid in gids {
        escrow.accepts("prepare", global(gid, "tcc")).await;
        escrow.accepts("registerBranch", tcc_branch(&participant, gid, "01")).await;
    }
    for gid in gids {
        assert_eq!(escrow.query(gid).await.names(), ["01 cancel", "01 confirm"], "{gid}");
        escrow.accepts("submit", global(gid, "tcc")).await;
        escrow.until_status(gid, "succeed").await;
    }
    assert_eq!(participant.calls().len(), gids.len());
}

#[tokio::test]
async fn branches_and_operations_have_dtms_names_in_dtms_order() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("prepare", saga(&participant, "saga")).await;
    escrow.accepts("prepare", msg(&participant, "msg")).await;
    for (gid, branch) in [("tcc", tcc_branch(&participant, "tcc", "0201")), ("xa", xa_branch(&participant, "xa", "01"))]
    {
        escrow.accepts("prepare", global(gid, gid)).await;
        escrow.accepts("registerBranch", branch).await;
    }
    let table: [(&str, &[&str]); 4] = [
        ("saga", &["01 compensate", "01 action", "02 compensate", "02 action"]),
        ("msg", &["01 action", "02 action"]),
        ("tcc", &["0201 cancel", "0201 confirm"]),
        ("xa", &["01 rollback", "01 commit"]),
    ];
    for (gid, names) in table {
        assert_eq!(escrow.query(gid).await.names(), names, "{gid}");
    }
    let many = json!({ "gid": "many", "trans_type": "msg", "query_prepared": participant.url("query"),
        "steps": vec![json!({ "action": "" }); 100], "payloads": vec![""; 100] });
    escrow.accepts("prepare", many).await;
    let names = escrow.query("many").await.names();
    assert_eq!([&names[8], &names[9], &names[99]], ["09 action", "10 action", "100 action"]);
}

#[tokio::test]
async fn a_transaction_may_be_decided_over_another_connection_and_after_a_restart() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("prepare", global("tcc", "tcc")).await;
    escrow.accepts("registerBranch", tcc_branch(&participant, "tcc", "01")).await;
    escrow.accepts("prepare", msg(&participant, "msg")).await;
    let escrow = escrow.restarted().await;
    escrow.accepts("registerBranch", tcc_branch(&participant, "tcc", "02")).await;
    let escrow = escrow.restarted().await;
    escrow.accepts("submit", global("tcc", "tcc")).await;
    escrow.accepts("submit", msg(&participant, "msg")).await;
    assert_eq!(escrow.until_status("tcc", "succeed").await.ops(), ["prepared", "succeed", "prepared", "succeed"]);
    assert_eq!(escrow.until_status("msg", "succeed").await.ops(), ["succeed", "succeed"]);
}

#[tokio::test]
async fn what_is_not_spoken_yet_is_refused_with_501_and_leaves_nothing_behind() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let workflow = json!({ "gid": "g", "trans_type": "workflow", "query_prepared": participant.url("resume"),
        "custom_data": r#"{"name":"w","data":null}"#, "req_extra": { "status": "succeed" } });
    for route in ["prepareWorkflow", "prepare", "submit", "abort"] {
        let reply = escrow.post(route, &workflow).await;
        assert_eq!((reply.status, reply.code()), (501, "not_supported"), "{route}");
    }
    let progress =
        json!({ "gid": "g", "trans_type": "workflow", "branch_id": "01", "op": "action", "status": "succeed" });
    assert_eq!(escrow.post("registerBranch", &progress).await.status, 501);
    for protocol in ["json-rpc", "grpc"] {
        for (route, body) in
            [("submit", saga(&participant, "g")), ("prepare", msg(&participant, "g")), ("prepare", global("g", "tcc"))]
        {
            let reply = escrow.post(route, &with(body, "protocol", protocol)).await;
            assert_eq!((reply.status, reply.code()), (501, "not_supported"), "{protocol}");
            assert!(reply.message().contains(protocol), "{reply:?}");
        }
    }
    for method in ["newGid", "prepare", "submit", "abort", "registerBranch"] {
        let body = json!({ "jsonrpc": "2.0", "id": "1", "method": method, "params": saga(&participant, "g") });
        let reply = escrow.send(http::Method::POST, "/api/json-rpc", body.to_string()).await;
        assert_eq!((reply.status, reply.code()), (501, "not_supported"), "{method}");
    }
    assert!(escrow.query("g").await.transaction().is_null());
    assert!(participant.calls().is_empty());
}
