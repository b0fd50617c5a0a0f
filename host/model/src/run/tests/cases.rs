//! The cases: each rule of decisions 4 to 6c and 20; those of time, cancels and reloads stand in `late.rs`.

use super::check;
use insta::assert_snapshot;

#[test]
fn a_chain_runs_in_order() {
    let told = check(
        "
            build
            test needs=build
        ",
        "
            0 begin
            1 build#1 started
            2 build#1 exits 0
            3 test#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 started => build running;
    2 build#1 exits 0 => build success (exit code 0); test starting; start test#1;
    3 test#1 exits 0 => test success (exit code 0); run success; finish success;
    ");
}

#[test]
fn an_empty_pipeline_waits_for_its_begin_and_succeeds() {
    let told = check(
        "",
        "
            0 continue
            0 begin
        ",
    );
    assert_snapshot!(told, @r"
    0 continue =>
    0 begin => run running; run success; finish success;
    ");
}

#[test]
fn a_failed_dependency_skips_what_follows_and_skips_cascade() {
    let told = check(
        "
            @continue
            build
            test needs=build
            ship needs=test
        ",
        "
            0 begin
            5 build#1 exits 1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    5 build#1 exits 1 => build failed (exit code 1); test skipped (build failed); ship skipped (test skipped); run failed (for build); finish failed;
    ");
}

#[test]
fn a_failure_that_is_handled_leaves_success() {
    let told = check(
        "
            build
            sorry needs=build:failure
        ",
        "
            0 begin
            1 build#1 exits 1
            2 sorry#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 1 => build failed (exit code 1); sorry starting; start sorry#1;
    2 sorry#1 exits 0 => sorry success (exit code 0); run success; finish success;
    ");
}

#[test]
fn an_exit_edge_handles_its_codes_only() {
    let told = check(
        "
            @continue
            build
            three needs=build:3+4
            five needs=build:5
        ",
        "
            0 begin
            1 build#1 exits 3
            2 three#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 3 => build failed (exit code 3); five skipped (build failed); three starting; start three#1;
    2 three#1 exits 0 => three success (exit code 0); run success; finish success;
    ");
}

#[test]
fn an_exit_edge_follows_a_success_by_its_code() {
    let told = check(
        "
            build codes=0+3
            three needs=build:3
        ",
        "
            0 begin
            1 build#1 exits 3
            2 three#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 3 => build success (exit code 3); three starting; start three#1;
    2 three#1 exits 0 => three success (exit code 0); run success; finish success;
    ");
}

#[test]
fn an_always_edge_cleans_up_but_does_not_handle() {
    let told = check(
        "
            build
            clean needs=build:always
        ",
        "
            0 begin
            1 build#1 exits 1
            2 clean#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 1 => build failed (exit code 1); clean starting; start clean#1;
    2 clean#1 exits 0 => clean success (exit code 0); run failed (for build); finish failed;
    ");
}

#[test]
fn an_always_edge_follows_a_skipped_task() {
    let told = check(
        "
            @continue
            build
            test needs=build
            clean needs=test:always
        ",
        "
            0 begin
            1 build#1 exits 1
            2 clean#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 1 => build failed (exit code 1); test skipped (build failed); clean starting; start clean#1;
    2 clean#1 exits 0 => clean success (exit code 0); run failed (for build); finish failed;
    ");
}

#[test]
fn an_allowed_failure_satisfies_success_and_failure() {
    let told = check(
        "
            lint allow_failure
            next needs=lint
            note needs=lint:failure
        ",
        "
            0 begin
            1 lint#1 exits 1
            2 next#1 exits 0
            2 note#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; lint starting; start lint#1;
    1 lint#1 exits 1 => lint failed (exit code 1); next starting; start next#1; note starting; start note#1;
    2 next#1 exits 0 => next success (exit code 0);
    2 note#1 exits 0 => note success (exit code 0); run success; finish success;
    ");
}

#[test]
fn accepted_codes_are_success() {
    let told = check(
        "
            build codes=0+3
        ",
        "
            0 begin
            1 build#1 exits 3
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 3 => build success (exit code 3); run success; finish success;
    ");
}

#[test]
fn a_join_of_any_starts_at_the_first_satisfied_edge() {
    let told = check(
        "
            a
            b
            c needs=a,b join=any
        ",
        "
            0 begin
            1 b#1 exits 0
            2 c#1 exits 0
            3 a#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1; b starting; start b#1;
    1 b#1 exits 0 => b success (exit code 0); c starting; start c#1;
    2 c#1 exits 0 => c success (exit code 0);
    3 a#1 exits 0 => a success (exit code 0); run success; finish success;
    ");
}

#[test]
fn a_join_of_any_is_skipped_when_no_edge_can_hold() {
    let told = check(
        "
            @continue
            a
            b
            c needs=a,b join=any
        ",
        "
            0 begin
            1 a#1 exits 1
            2 b#1 exits 1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1; b starting; start b#1;
    1 a#1 exits 1 => a failed (exit code 1);
    2 b#1 exits 1 => b failed (exit code 1); c skipped (none satisfied); run failed (for a); finish failed;
    ");
}

#[test]
fn a_merge_without_work_succeeds_when_it_is_reached() {
    let told = check(
        "
            a
            b
            both needs=a,b none
            c needs=both
        ",
        "
            0 begin
            1 a#1 exits 0
            2 b#1 exits 0
            3 c#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1; b starting; start b#1;
    1 a#1 exits 0 => a success (exit code 0);
    2 b#1 exits 0 => b success (exit code 0); both success; c starting; start c#1;
    3 c#1 exits 0 => c success (exit code 0); run success; finish success;
    ");
}

#[test]
fn a_failure_ends_what_runs_and_skips_the_rest() {
    let told = check(
        "
            build
            other
            later needs=other
            clean needs=other:always
        ",
        "
            0 begin
            1 build#1 exits 1
            2 other#1 exits 0
            3 clean#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1; other starting; start other#1;
    1 build#1 exits 1 => build failed (exit code 1); other cancelling (build failed); later skipped (build failed); timer other#1 at 11; stop other#1 grace 10s;
    2 other#1 exits 0 => other cancelled (build failed); clean starting; start clean#1;
    3 clean#1 exits 0 => clean success (exit code 0); run failed (for build); finish failed;
    ");
}

#[test]
fn a_failure_waits_for_its_handler_while_there_is_hope() {
    let told = check(
        "
            build
            other
            slow needs=other
            sorry needs=build:failure,slow
        ",
        "
            0 begin
            1 build#1 exits 1
            2 other#1 exits 0
            3 slow#1 exits 0
            4 sorry#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1; other starting; start other#1;
    1 build#1 exits 1 => build failed (exit code 1);
    2 other#1 exits 0 => other success (exit code 0); slow starting; start slow#1;
    3 slow#1 exits 0 => slow success (exit code 0); sorry starting; start sorry#1;
    4 sorry#1 exits 0 => sorry success (exit code 0); run success; finish success;
    ");
}

#[test]
fn a_failure_stops_the_run_when_its_last_hope_is_skipped() {
    let told = check(
        "
            build
            other allow_failure
            third
            sorry needs=build:failure,other:7
        ",
        "
            0 begin
            1 build#1 exits 1
            2 other#1 exits 1
            3 third#1 exits 143
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1; other starting; start other#1; third starting; start third#1;
    1 build#1 exits 1 => build failed (exit code 1);
    2 other#1 exits 1 => other failed (exit code 1); sorry skipped (other failed); third cancelling (build failed); timer third#1 at 12; stop third#1 grace 10s;
    3 third#1 exits 143 => third cancelled (build failed); run failed (for build); finish failed;
    ");
}

#[test]
fn a_handler_that_fails_is_a_failure_of_its_own() {
    let told = check(
        "
            build
            sorry needs=build:failure
        ",
        "
            0 begin
            1 build#1 exits 1
            2 sorry#1 exits 1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 1 => build failed (exit code 1); sorry starting; start sorry#1;
    2 sorry#1 exits 1 => sorry failed (exit code 1); run failed (for sorry); finish failed;
    ");
}

#[test]
fn a_retry_waits_longer_each_time_and_the_last_attempt_counts() {
    let told = check(
        "
            build retry=3/5s
            test needs=build
        ",
        "
            0 begin
            1 build#1 exits 1
            6 due build#1
            7 build#2 exits 1
            17 due build#2
            18 build#3 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 1 => build backoff (again after exit code 1); timer build#1 at 6;
    6 due build#1 => build starting; start build#2;
    7 build#2 exits 1 => build backoff (again after exit code 1); timer build#2 at 17;
    17 due build#2 => build starting; start build#3;
    18 build#3 exits 0 => build success (exit code 0); test starting; start test#1;
    ");
}

#[test]
fn attempts_are_counted_in_all() {
    let told = check(
        "
            build retry=2/1s
        ",
        "
            0 begin
            1 build#1 exits 1
            2 due build#1
            3 build#2 exits 1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 1 => build backoff (again after exit code 1); timer build#1 at 2;
    2 due build#1 => build starting; start build#2;
    3 build#2 exits 1 => build failed (exit code 1); run failed (for build); finish failed;
    ");
}

#[test]
fn a_timeout_stops_kills_and_at_last_gives_up() {
    let told = check(
        "
            build timeout=10s grace=2s
        ",
        "
            0 begin
            1 build#1 started
            10 due build#1
            12 due build#1
            27 due build#1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; timer build#1 at 10; start build#1;
    1 build#1 started => build running;
    10 due build#1 => build stopping (attempt timeout); timer build#1 at 12; stop build#1 grace 2s;
    12 due build#1 => kill build#1; timer build#1 at 27;
    27 due build#1 => build failed (attempt timeout); run failed (for build); finish failed;
    ");
}

#[test]
fn a_timed_out_attempt_is_tried_again_whatever_it_says() {
    let told = check(
        "
            build timeout=10s retry=2/5s
        ",
        "
            0 begin
            10 due build#1
            11 build#1 exits 0
            16 due build#1
            17 build#2 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; timer build#1 at 10; start build#1;
    10 due build#1 => build stopping (attempt timeout); timer build#1 at 20; stop build#1 grace 10s;
    11 build#1 exits 0 => build backoff (again after stopped by the host); timer build#1 at 16;
    16 due build#1 => build starting; timer build#2 at 26; start build#2;
    17 build#2 exits 0 => build success (exit code 0); run success; finish success;
    ");
}

#[test]
fn a_timed_out_attempt_that_is_lost_is_not_tried_again() {
    let told = check(
        "
            build timeout=10s retry=2/5s
        ",
        "
            0 begin
            10 due build#1
            11 build#1 exits lost
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; timer build#1 at 10; start build#1;
    10 due build#1 => build stopping (attempt timeout); timer build#1 at 20; stop build#1 grace 10s;
    11 build#1 exits lost => build failed (attempt timeout); run failed (for build); finish failed;
    ");
}

#[test]
fn a_lost_attempt_fails_by_default() {
    let told = check(
        "
            build retry=3/5s
        ",
        "
            0 begin
            1 build#1 exits lost
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits lost => build failed (lost: gone); run failed (for build); finish failed;
    ");
}

#[test]
fn a_lost_attempt_of_an_idempotent_task_consumes_an_attempt() {
    let told = check(
        "
            build retry=2/5s lost=retry
        ",
        "
            0 begin
            1 build#1 exits lost
            6 due build#1
            7 build#2 exits lost
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits lost => build backoff (again after lost: gone); timer build#1 at 6;
    6 due build#1 => build starting; start build#2;
    7 build#2 exits lost => build failed (lost: gone); run failed (for build); finish failed;
    ");
}

#[test]
fn what_cannot_start_is_tried_again_only_where_it_may_pass() {
    let told = check(
        "
            @continue
            a retry=2/5s
            b retry=2/5s
        ",
        "
            0 begin
            1 a#1 exits unstartable
            1 b#1 exits unstarted
            6 due b#1
            7 b#2 exits trapped
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1; b starting; start b#1;
    1 a#1 exits unstartable => a failed (could not be started: no such file);
    1 b#1 exits unstarted => b backoff (again after could not be started: no slot); timer b#1 at 6;
    6 due b#1 => b starting; start b#2;
    7 b#2 exits trapped => b failed (trapped: unreachable); run failed (for a); finish failed;
    ");
}
