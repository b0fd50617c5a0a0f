//! The cases of what comes late, twice or from outside: timers, stale reports, cancels, reloads.

use super::check;
use insta::assert_snapshot;

#[test]
fn a_timer_that_comes_early_is_armed_again() {
    let told = check(
        "
            build retry=2/5s
        ",
        "
            0 begin
            1 build#1 exits 1
            3 due build#1
            6 due build#1
            6 due build#1
            7 build#2 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 1 => build backoff (again after exit code 1); timer build#1 at 6;
    3 due build#1 => timer build#1 at 6;
    6 due build#1 => build starting; start build#2;
    6 due build#1 => refused: attempt 1 of this task is not the current one
    7 build#2 exits 0 => build success (exit code 0); run success; finish success;
    ");
}

#[test]
fn a_timer_that_comes_twice_ends_nothing_before_its_time() {
    let told = check(
        "
            build timeout=10s grace=5s
        ",
        "
            0 begin
            10 due build#1
            10 due build#1
            15 due build#1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; timer build#1 at 10; start build#1;
    10 due build#1 => build stopping (attempt timeout); timer build#1 at 15; stop build#1 grace 5s;
    10 due build#1 => timer build#1 at 15;
    15 due build#1 => kill build#1; timer build#1 at 30;
    ");
}

#[test]
fn a_timer_of_an_old_attempt_changes_nothing() {
    let told = check(
        "
            build timeout=10s retry=2/1s
        ",
        "
            0 begin
            1 build#1 exits 1
            2 due build#1
            10 due build#1
            12 due build#2
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; timer build#1 at 10; start build#1;
    1 build#1 exits 1 => build backoff (again after exit code 1); timer build#1 at 2;
    2 due build#1 => build starting; timer build#2 at 12; start build#2;
    10 due build#1 => refused: attempt 1 of this task is not the current one
    12 due build#2 => build stopping (attempt timeout); timer build#2 at 22; stop build#2 grace 10s;
    ");
}

#[test]
fn a_report_about_an_old_attempt_changes_nothing() {
    let told = check(
        "
            build retry=2/1s
        ",
        "
            0 begin
            1 build#1 exits 1
            1 build#1 exits 0
            2 due build#1
            3 build#1 exits 0
            3 build#1 started
            4 build#2 exits 0
            5 build#2 exits 1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 exits 1 => build backoff (again after exit code 1); timer build#1 at 2;
    1 build#1 exits 0 => refused: attempt 1 of this task is not the current one
    2 due build#1 => build starting; start build#2;
    3 build#1 exits 0 => refused: attempt 1 of this task is not the current one
    3 build#1 started => refused: attempt 1 of this task is not the current one
    4 build#2 exits 0 => build success (exit code 0); run success; finish success;
    5 build#2 exits 1 => refused: the run is already over (success)
    ");
}

#[test]
fn an_attempt_says_once_that_it_runs() {
    let told = check(
        "
            build
        ",
        "
            0 begin
            1 build#1 started
            2 build#1 started
            3 build#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 build#1 started => build running;
    2 build#1 started =>
    3 build#1 exits 0 => build success (exit code 0); run success; finish success;
    ");
}

#[test]
fn a_slot_is_given_only_to_a_task_that_waits_for_one() {
    let told = check(
        "
            build
            test needs=build
        ",
        "
            hold
            0 begin
            1 admit test
            1 admit build
            1 admit build
            2 build#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; want build;
    1 admit test => refused: the task does not wait for a slot
    1 admit build => build starting; start build#1;
    1 admit build => refused: the task does not wait for a slot
    2 build#1 exits 0 => build success (exit code 0); want test;
    ");
}

#[test]
fn a_run_begins_once() {
    let told = check(
        "
            build
        ",
        "
            0 begin
            1 begin
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; build starting; start build#1;
    1 begin => refused: the run has begun already
    ");
}

#[test]
fn a_cancel_while_queued_ends_all_at_once() {
    let told = check(
        "
            build
            test needs=build
            merge none
        ",
        "
            0 cancel user
            1 begin
            1 cancel kill
        ",
    );
    assert_snapshot!(told, @r"
    0 cancel user => run cancelling (user); build cancelled (user); test cancelled (user); merge cancelled (user); run cancelled (user); finish cancelled;
    1 begin => refused: the run is already over (cancelled)
    1 cancel kill => refused: the run is already over (cancelled)
    ");
}

#[test]
fn a_cancel_ends_what_waits_and_stops_what_runs() {
    let told = check(
        "
            a
            b retry=2/9s
            c needs=a
            clean needs=a:always
        ",
        "
            0 begin
            1 b#1 exits 1
            2 cancel user
            3 a#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1; b starting; start b#1;
    1 b#1 exits 1 => b backoff (again after exit code 1); timer b#1 at 10;
    2 cancel user => run cancelling (user); a cancelling (user); b cancelled (user); c cancelled (user); clean cancelled (user); timer a#1 at 12; stop a#1 grace 10s;
    3 a#1 exits 0 => a cancelled (user); run cancelled (user); finish cancelled;
    ");
}

#[test]
fn a_cancelled_attempt_is_never_tried_again() {
    let told = check(
        "
            a retry=5/1s
        ",
        "
            0 begin
            1 cancel user
            2 a#1 exits 1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1;
    1 cancel user => run cancelling (user); a cancelling (user); timer a#1 at 11; stop a#1 grace 10s;
    2 a#1 exits 1 => a cancelled (user); run cancelled (user); finish cancelled;
    ");
}

#[test]
fn the_first_reason_names_the_outcome_and_kill_hastens() {
    let told = check(
        "
            a grace=60s
        ",
        "
            0 begin
            1 cancel user
            2 cancel shutdown
            3 cancel kill
            4 cancel kill
            18 due a#1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1;
    1 cancel user => run cancelling (user); a cancelling (user); timer a#1 at 61; stop a#1 grace 1m;
    2 cancel shutdown => refused: the run is being cancelled already
    3 cancel kill => kill a#1; timer a#1 at 18;
    4 cancel kill => refused: the run is being cancelled already
    18 due a#1 => a cancelled (user); run cancelled (user); finish cancelled;
    ");
}

#[test]
fn a_kill_gives_no_grace() {
    let told = check(
        "
            a
            b
        ",
        "
            0 begin
            1 cancel kill
            2 a#1 exits lost
            16 due b#1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1; b starting; start b#1;
    1 cancel kill => run cancelling (kill); a cancelling (kill); b cancelling (kill); kill a#1; timer a#1 at 16; kill b#1; timer b#1 at 16;
    2 a#1 exits lost => a cancelled (kill);
    16 due b#1 => b cancelled (kill); run cancelled (kill); finish cancelled;
    ");
}

#[test]
fn a_run_that_takes_too_long_times_out() {
    let told = check(
        "
            @timeout=60s
            a
            b needs=a
        ",
        "
            0 begin
            30 due run
            60 due run
            61 due run
            61 a#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; timer run at 60; a starting; start a#1;
    30 due run => timer run at 60;
    60 due run => run cancelling (timeout); a cancelling (timeout); b cancelled (timeout); timer a#1 at 70; stop a#1 grace 10s;
    61 due run => refused: attempt 0 of this task is not the current one
    61 a#1 exits 0 => a cancelled (timeout); run timed_out (timeout); finish timed_out;
    ");
}

#[test]
fn a_cancel_after_a_fail_fast_ends_cleaning_up_too_and_stays_failed() {
    let told = check(
        "
            a
            b
            clean needs=b:always
        ",
        "
            0 begin
            1 a#1 exits 1
            2 b#1 exits 0
            3 cancel user
            4 clean#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1; b starting; start b#1;
    1 a#1 exits 1 => a failed (exit code 1); b cancelling (a failed); timer b#1 at 11; stop b#1 grace 10s;
    2 b#1 exits 0 => b cancelled (a failed); clean starting; start clean#1;
    3 cancel user => run cancelling (fail_fast); clean cancelling (fail_fast); timer clean#1 at 13; stop clean#1 grace 10s;
    4 clean#1 exits 0 => clean cancelled (fail_fast); run failed (fail_fast); finish failed;
    ");
}

#[test]
fn a_stop_that_was_under_way_goes_on_under_a_cancel() {
    let told = check(
        "
            a timeout=10s grace=5s retry=3/1s
        ",
        "
            0 begin
            10 due a#1
            12 cancel user
            15 due a#1
            16 a#1 exits lost
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; timer a#1 at 10; start a#1;
    10 due a#1 => a stopping (attempt timeout); timer a#1 at 15; stop a#1 grace 5s;
    12 cancel user => run cancelling (user); a cancelling (user);
    15 due a#1 => kill a#1; timer a#1 at 30;
    16 a#1 exits lost => a cancelled (user); run cancelled (user); finish cancelled;
    ");
}

#[test]
fn a_reload_asks_about_attempts_and_arms_timers() {
    let told = check(
        "
            @timeout=90s
            a timeout=20s
            b retry=2/9s
            c needs=a
        ",
        "
            0 begin
            1 a#1 started
            1 b#1 exits 1
            2 reload
            10 due b#1
            11 reload
            12 a#1 exits 0
            12 b#2 exits 0
            13 c#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; timer run at 90; a starting; timer a#1 at 20; start a#1; b starting; start b#1;
    1 a#1 started => a running;
    1 b#1 exits 1 => b backoff (again after exit code 1); timer b#1 at 10;
    2 reload => ask a#1 running; timer run at 90; timer a#1 at 20; timer b#1 at 10;
    10 due b#1 => b starting; start b#2;
    11 reload => ask a#1 running; ask b#2 starting; timer run at 90; timer a#1 at 20;
    12 a#1 exits 0 => a success (exit code 0); c starting; start c#1;
    12 b#2 exits 0 => b success (exit code 0);
    13 c#1 exits 0 => c success (exit code 0); run success; finish success;
    ");
}

#[test]
fn a_reload_while_queued_waits_for_its_begin() {
    let told = check(
        "
            a
        ",
        "
            0 reload
            1 begin
        ",
    );
    assert_snapshot!(told, @r"
    0 reload =>
    1 begin => run running; a starting; start a#1;
    ");
}

#[test]
fn a_reload_goes_on_with_a_cancel() {
    let told = check(
        "
            a
            b needs=a
        ",
        "
            0 begin
            1 cancel user
            2 reload
            11 due a#1
            12 reload
            13 due a#1
            28 due a#1
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1;
    1 cancel user => run cancelling (user); a cancelling (user); b cancelled (user); timer a#1 at 11; stop a#1 grace 10s;
    2 reload => ask a#1 cancelling; stop a#1 grace 10s; timer a#1 at 11;
    11 due a#1 => kill a#1; timer a#1 at 26;
    12 reload => ask a#1 cancelling; stop a#1 grace 10s; timer a#1 at 11;
    13 due a#1 => kill a#1; timer a#1 at 28;
    28 due a#1 => a cancelled (user); run cancelled (user); finish cancelled;
    ");
}

#[test]
fn a_reload_goes_on_with_a_fail_fast() {
    let told = check(
        "
            a
            b
            c needs=b
            clean needs=b:always
        ",
        "
            0 begin
            1 a#1 exits 1
            2 reload
            3 b#1 exits 0
            4 reload
            5 clean#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1; b starting; start b#1;
    1 a#1 exits 1 => a failed (exit code 1); b cancelling (a failed); c skipped (a failed); timer b#1 at 11; stop b#1 grace 10s;
    2 reload => ask b#1 cancelling; stop b#1 grace 10s; timer b#1 at 11;
    3 b#1 exits 0 => b cancelled (a failed); clean starting; start clean#1;
    4 reload => ask clean#1 starting;
    5 clean#1 exits 0 => clean success (exit code 0); run failed (for a); finish failed;
    ");
}

#[test]
fn a_reload_knows_that_a_failure_has_hope() {
    let told = check(
        "
            a
            b
            sorry needs=a:failure,b
        ",
        "
            0 begin
            1 a#1 exits 1
            2 reload
            3 b#1 exits 0
            4 reload
            5 sorry#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1; b starting; start b#1;
    1 a#1 exits 1 => a failed (exit code 1);
    2 reload => ask b#1 starting;
    3 b#1 exits 0 => b success (exit code 0); sorry starting; start sorry#1;
    4 reload => ask sorry#1 starting;
    5 sorry#1 exits 0 => sorry success (exit code 0); run success; finish success;
    ");
}

#[test]
fn an_exit_code_after_a_timeout_satisfies_no_edge_before_or_after_a_reload() {
    let told = check(
        "
            @continue
            a timeout=5s
            b
            three needs=a:3,b
        ",
        "
            0 begin
            5 due a#1
            6 a#1 exits 3
            7 reload
            8 b#1 exits 0
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; timer a#1 at 5; start a#1; b starting; start b#1;
    5 due a#1 => a stopping (attempt timeout); timer a#1 at 15; stop a#1 grace 10s;
    6 a#1 exits 3 => a failed (attempt timeout); three skipped (a failed);
    7 reload => ask b#1 starting;
    8 b#1 exits 0 => b success (exit code 0); run failed (for a); finish failed;
    ");
}

#[test]
fn what_is_not_in_the_graph_is_refused() {
    let told = check(
        "
            a
        ",
        "
            0 begin
            1 a#7 exits 0
            1 due a#7
        ",
    );
    assert_snapshot!(told, @r"
    0 begin => run running; a starting; start a#1;
    1 a#7 exits 0 => refused: attempt 7 of this task is not the current one
    1 due a#7 => refused: attempt 7 of this task is not the current one
    ");
}
