//! Pipelines, runs, tasks and attempts: numbers, guarded transitions, lists.

use crate::support::{Host, NOW, add_version, host, moves, new_run, slug};
use hostler_model::run::TaskRow;
use hostler_model::{
    Actor, AttemptId, CancelReason, Cause, Epoch, Exit, LogExtent, Report, RunKey, RunStatus, TaskIndex, TaskStatus,
    Timestamp,
};
use hostler_store::{
    AttemptStatus, Error, NamespaceId, NewAttempt, NewIdempotent, NewPipeline, NewToken, Origin, Page, Parent,
    Permission, RunFilter, Schedule, TaskChange, TaskFilter, Trust,
};

#[test]
fn a_run_moves_only_from_the_state_it_is_in() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let (run, id) = host.run(pipeline);
    host.write(|tx| tx.change_run(moves(run, RunStatus::Queued, RunStatus::Running, &Cause::Ready))).unwrap();
    let again = host.write(|tx| tx.change_run(moves(run, RunStatus::Queued, RunStatus::Running, &Cause::Ready)));
    let Err(Error::Conflict { what, expected }) = again else { panic!("{again:?}") };
    assert_eq!((what, expected), (format!("run {}", run.0), "queued".into()));

    let user = Actor::token("ann");
    let cause = Cause::Cancelled { reason: CancelReason::User };
    let mut cancel = moves(run, RunStatus::Running, RunStatus::Cancelling, &cause);
    cancel.cancelled_by = Some(&user);
    host.write(|tx| tx.change_run(cancel)).unwrap();
    // A stronger reason hastens and does not rename.
    let cause = Cause::Cancelled { reason: CancelReason::Kill };
    let mut end = moves(run, RunStatus::Cancelling, RunStatus::Cancelled, &cause);
    end.log_bytes = Some(7);
    host.write(|tx| tx.change_run(end)).unwrap();
    let row = host.store.read(|tx| tx.run_by_id(id)).unwrap().unwrap();
    assert_eq!((row.status, row.cancel_reason), (RunStatus::Cancelled, Some(CancelReason::User)));
    assert_eq!((row.cancelled_by, row.log_bytes), (Some(user), 7));
    assert_eq!((row.started_at, row.ended_at, row.root, row.depth), (Some(NOW), Some(NOW), run, 0));
    let late = host.write(|tx| tx.change_run(moves(run, RunStatus::Running, RunStatus::Success, &Cause::Ready)));
    assert!(matches!(late, Err(Error::Conflict { .. })));
}

#[test]
fn runs_are_numbered_by_pipeline_and_a_refused_one_uses_no_number() {
    let mut host = host();
    let (a, b) = (host.pipeline("a"), host.pipeline("b"));
    let actor = Actor::host();
    let ids: Vec<_> = (0..3).map(|_| host.next_id()).collect();
    let number = |host: &mut Host, pipeline, id| host.write(|tx| tx.create_run(&new_run(pipeline, id, &actor)));
    assert_eq!(number(&mut host, a, ids[0]).unwrap().1, 1);
    assert!(matches!(number(&mut host, a, ids[0]), Err(Error::Exists { .. })));
    assert_eq!(number(&mut host, a, ids[1]).unwrap().1, 2);
    assert_eq!(number(&mut host, b, ids[2]).unwrap().1, 1);
}

#[test]
fn a_fire_starts_one_run_for_each_of_its_keys() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let subscription = host.subscription(pipeline, "s", Schedule::default());
    let actor = Actor::subscription(subscription);
    let ids: Vec<_> = (0..3).map(|_| host.next_id()).collect();
    let fired = |id, key: &str| {
        let origin = Origin::Fired { subscription, at: Timestamp(5), key: key.into() };
        hostler_store::NewRun { origin, ..new_run(pipeline, id, &actor) }
    };
    let (first, _) = host.write(|tx| tx.create_run(&fired(ids[0], "0"))).unwrap();
    assert!(matches!(host.write(|tx| tx.create_run(&fired(ids[1], "0"))), Err(Error::Exists { .. })));
    let (second, _) = host.write(|tx| tx.create_run(&fired(ids[2], "1"))).unwrap();
    let read = |key: &str| host.store.read(|tx| tx.run_of_fire(subscription, Timestamp(5), key)).unwrap();
    assert_eq!((read("0"), read("1"), read("2")), (Some(first), Some(second), None));
    let open = host.store.read(|tx| tx.runs_of_subscription_open(subscription)).unwrap();
    assert_eq!(open, [first, second]);
}

#[test]
fn a_list_is_newest_first_and_its_pages_hold_while_runs_come_in() {
    let mut host = host();
    let (a, b) = (host.pipeline("a"), host.pipeline("b"));
    let made: Vec<_> = (0..7).map(|n| host.run(if n % 3 == 0 { b } else { a }).0).collect();
    host.write(|tx| tx.change_run(moves(made[2], RunStatus::Queued, RunStatus::Running, &Cause::Ready))).unwrap();
    let all = RunFilter { namespace: Some(NamespaceId::DEFAULT), ..RunFilter::default() };
    let of_a = RunFilter { pipeline: Some(a), ..all };
    let running = RunFilter { status: Some(RunStatus::Running), ..all };
    let mut walk = |filter| {
        let (mut page, mut seen) = (Page::first(2), Vec::new());
        loop {
            let paged = host.store.read(|tx| tx.runs(filter, page)).unwrap();
            seen.extend(paged.items.iter().map(|run| run.key));
            // What comes in meanwhile is newer than the cursor and must not show.
            host.run(a);
            page.after = paged.next;
            if page.after.is_none() {
                return seen;
            }
        }
    };
    let newest_first = |keys: &[usize]| keys.iter().map(|at| made[*at]).collect::<Vec<_>>();
    assert_eq!(walk(all), newest_first(&[6, 5, 4, 3, 2, 1, 0]));
    assert_eq!(walk(running), newest_first(&[2]));
    assert_eq!(walk(RunFilter { status: Some(RunStatus::Running), ..of_a }), newest_first(&[2]));
    assert!(walk(of_a).ends_with(&newest_first(&[5, 4, 2, 1])));
    let mut open = Vec::new();
    host.store
        .read(|tx| {
            tx.open_runs(|run| {
                open.push(run.key);
                Ok(())
            })
        })
        .unwrap();
    assert!(open.starts_with(&made), "oldest first: {open:?}");
    assert_eq!(host.store.read(|tx| tx.count_of_pipeline_open(b)).unwrap(), 3);
}

#[test]
fn the_tree_of_a_run_is_known_and_its_mark_of_trust_is_kept() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let (root, _) = host.run(pipeline);
    let (actor, id) = (Actor::host(), host.next_id());
    let parent = Some(Parent { run: root, task: TaskIndex(3), item: 2 });
    let new = hostler_store::NewRun { parent, trust: Trust::Untrusted, ..new_run(pipeline, id, &actor) };
    let (child, _) = host.write(|tx| tx.create_run(&new)).unwrap();
    let row = host.store.read(|tx| tx.run(child)).unwrap().unwrap();
    assert_eq!((row.root, row.depth, row.parent, row.trust), (root, 1, parent, Trust::Untrusted));
}

fn task(run: RunKey, from: TaskStatus, to: TaskStatus, cause: &Cause) -> TaskChange<'_> {
    let (due, outputs) = (None, None);
    TaskChange { run, task: TaskIndex(0), item: 0, from, to, attempt: 1, due, cause, outputs, now: NOW }
}

#[test]
fn a_task_has_a_row_once_it_leaves_pending_and_carries_the_code_of_its_last_attempt() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let (run, _) = host.run(pipeline);
    let ready = Cause::Ready;
    let retrying = Cause::Retrying { exit: Exit::Code { code: 3 } };
    let exited = Cause::Exited { exit: Exit::Code { code: 0 } };
    let mut apply = |change: TaskChange<'_>| host.write(|tx| tx.change_task(change));
    apply(task(run, TaskStatus::Pending, TaskStatus::Starting, &ready)).unwrap();
    let twice = apply(task(run, TaskStatus::Pending, TaskStatus::Starting, &ready));
    assert!(matches!(twice, Err(Error::Conflict { .. })), "{twice:?}");
    let wrong = apply(task(run, TaskStatus::Backoff, TaskStatus::Starting, &ready));
    assert!(matches!(wrong, Err(Error::Conflict { .. })), "{wrong:?}");
    let mut backoff = task(run, TaskStatus::Starting, TaskStatus::Backoff, &retrying);
    backoff.due = Some(Timestamp(NOW.0 + 5));
    apply(backoff).unwrap();
    let mut rows = Vec::new();
    host.store
        .read(|tx| {
            tx.task_rows(run, |row| {
                rows.push(row);
                Ok(())
            })
        })
        .unwrap();
    let due = Some(Timestamp(NOW.0 + 5));
    assert_eq!(rows, [TaskRow { task: TaskIndex(0), status: TaskStatus::Backoff, attempt: 1, due, code: Some(3) }]);
    let mut apply = |change: TaskChange<'_>| host.write(|tx| tx.change_task(change));
    apply(task(run, TaskStatus::Backoff, TaskStatus::Starting, &ready)).unwrap();
    let mut done = task(run, TaskStatus::Starting, TaskStatus::Success, &exited);
    done.outputs = Some(r#"{"rows":7}"#);
    apply(done).unwrap();
    let row = host.store.read(|tx| tx.task(run, TaskIndex(0), 0)).unwrap().unwrap();
    assert_eq!((row.status, row.code, row.due), (TaskStatus::Success, Some(0), None));
    assert_eq!((row.cause, row.outputs.as_deref()), (exited.clone(), Some(r#"{"rows":7}"#)));
}

#[test]
fn tasks_are_paged_in_order_of_index_and_item() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let (run, _) = host.run(pipeline);
    let places = [(0, 0), (0, 1), (1, 0), (2, 0), (2, 7)];
    let write = host.write(|tx| {
        places.iter().rev().try_for_each(|(index, item)| {
            let change = task(run, TaskStatus::Pending, TaskStatus::Success, &Cause::Ready);
            tx.change_task(TaskChange { task: TaskIndex(*index), item: *item, ..change })
        })
    });
    write.unwrap();
    let (mut page, mut seen) = (Page::first(2), Vec::new());
    loop {
        let paged = host.store.read(|tx| tx.task_page(run, TaskFilter::default(), page)).unwrap();
        seen.extend(paged.items.iter().map(|task| (task.task.0, task.item)));
        page.after = paged.next;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(seen, places);
    let failed = TaskFilter { status: Some(TaskStatus::Failed) };
    assert!(host.store.read(|tx| tx.task_page(run, failed, Page::first(9))).unwrap().items.is_empty());
    assert_eq!(host.store.read(|tx| tx.task_counts(run)).unwrap(), [(TaskStatus::Success, 5)]);
}

#[test]
fn a_report_of_another_epoch_or_of_an_ended_attempt_changes_nothing() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let (run, _) = host.run(pipeline);
    let id = AttemptId { epoch: Epoch(4), run, task: TaskIndex(0), item: 0, attempt: 1 };
    let new = NewAttempt { id, executor: "process", instance: "local", now: NOW };
    host.write(|tx| tx.begin_attempt(new)).unwrap();
    assert!(matches!(host.write(|tx| tx.begin_attempt(new)), Err(Error::Exists { .. })));
    let stale = AttemptId { epoch: Epoch(3), ..id };
    assert!(matches!(host.write(|tx| tx.attempt_running(stale, NOW, None)), Err(Error::Conflict { .. })));
    host.write(|tx| tx.attempt_running(id, NOW, Some("sha256:1"))).unwrap();
    host.write(|tx| tx.attempt_running(id, Timestamp(NOW.0 + 9), None)).unwrap();
    assert_eq!(host.store.read(|tx| tx.open_attempts(run)).unwrap().len(), 1);
    let log = LogExtent { first: 1, end: 9, bytes: 4, dropped: 2 };
    let report = Report { log, ..Report::bare(Exit::Signal { signal: 9 }) };
    host.write(|tx| tx.end_attempt(id, &report, Timestamp(NOW.0 + 20))).unwrap();
    assert!(matches!(host.write(|tx| tx.end_attempt(id, &report, NOW)), Err(Error::Conflict { .. })));
    let rows = host.store.read(|tx| tx.attempts(run, TaskIndex(0), 0)).unwrap();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.id, row.status, row.started_at), (id, AttemptStatus::Ended, Some(NOW)));
    assert_eq!((row.exit.clone(), row.log), (Some(Exit::Signal { signal: 9 }), log));
    assert_eq!(row.digest.as_deref(), Some("sha256:1"));
    assert!(host.store.read(|tx| tx.open_attempts(run)).unwrap().is_empty());
}

#[test]
fn a_deleted_pipeline_frees_its_id_and_keeps_its_runs() {
    let mut host = host();
    let old = host.pipeline("p");
    let (run, _) = host.run(old);
    let new = NewPipeline { namespace: NamespaceId::DEFAULT, id: &slug("p"), now: NOW };
    assert!(matches!(host.write(|tx| tx.create_pipeline(new)), Err(Error::Exists { .. })));
    host.write(|tx| tx.delete_pipeline(old, NOW)).unwrap();
    assert!(matches!(host.write(|tx| tx.delete_pipeline(old, NOW)), Err(Error::Conflict { .. })));
    let key = host.write(|tx| tx.create_pipeline(new)).unwrap();
    assert_ne!(key, old);
    assert_eq!(host.store.read(|tx| tx.run(run)).unwrap().unwrap().pipeline_id, slug("p"));
    let listed = host.store.read(|tx| tx.pipelines(NamespaceId::DEFAULT, Page::first(5))).unwrap().items;
    assert_eq!(listed.iter().map(|pipeline| pipeline.key).collect::<Vec<_>>(), [key]);
}

#[test]
fn versions_count_up_and_only_one_that_is_there_is_released() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    assert_eq!(host.write(|tx| add_version(tx, pipeline)).unwrap(), 2);
    assert!(matches!(host.write(|tx| tx.release_version(pipeline, 3)), Err(Error::Conflict { .. })));
    host.write(|tx| tx.release_version(pipeline, 1)).unwrap();
    let row = host.store.read(|tx| tx.pipeline(pipeline)).unwrap().unwrap();
    assert_eq!((row.released, row.latest), (Some(1), 2));
    let newest = host.store.read(|tx| tx.versions(pipeline, Page::first(1))).unwrap();
    assert_eq!(newest.items[0].version, 2);
    let page = Page { after: newest.next, limit: 1 };
    let oldest = host.store.read(|tx| tx.versions(pipeline, page)).unwrap();
    assert_eq!((oldest.items[0].version, oldest.next), (1, None));
    assert_eq!(host.store.read(|tx| tx.version(pipeline, 2)).unwrap().unwrap().created_by, Actor::token("first"));
}

#[test]
fn pipelines_are_listed_by_id_over_pages_even_when_the_last_one_seen_goes() {
    let mut host = host();
    let keys: Vec<_> = ["c", "a", "b", "d"].iter().map(|id| host.pipeline(id)).collect();
    let first = host.store.read(|tx| tx.pipelines(NamespaceId::DEFAULT, Page::first(2))).unwrap();
    assert_eq!(first.items.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    host.write(|tx| tx.delete_pipeline(keys[2], NOW)).unwrap();
    let page = Page { after: first.next, limit: 2 };
    let rest = host.store.read(|tx| tx.pipelines(NamespaceId::DEFAULT, page)).unwrap();
    assert_eq!(rest.items.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["c", "d"]);
    assert_eq!(rest.next, None);
}

#[test]
fn a_revoked_token_is_not_found_and_its_name_is_free() {
    let mut host = host();
    let permissions = [Permission { noun: "*".into(), verb: "read".into(), namespace: "default".into() }];
    let name = slug("first");
    let token = |hash| NewToken { name: &name, hash, permissions: &permissions, now: NOW };
    let id = host.write(|tx| tx.add_token(token(&[1; 32]))).unwrap();
    assert!(matches!(host.write(|tx| tx.add_token(token(&[2; 32]))), Err(Error::Exists { .. })));
    let found = host.store.read(|tx| tx.token_by_hash(&[1; 32])).unwrap().unwrap();
    assert_eq!((found.id, found.permissions.as_slice()), (id, permissions.as_slice()));
    host.write(|tx| tx.revoke_token(id, NOW)).unwrap();
    assert_eq!(host.store.read(|tx| tx.token_by_hash(&[1; 32])).unwrap(), None);
    host.write(|tx| tx.add_token(token(&[2; 32]))).unwrap();
    assert_eq!(host.store.read(|tx| tx.tokens()).unwrap().len(), 2);
}

#[test]
fn an_idempotency_key_is_remembered_until_it_is_forgotten() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let (run, _) = host.run(pipeline);
    let (namespace, key) = (NamespaceId::DEFAULT, "k");
    let new = NewIdempotent { namespace, actor: "ann", key, fingerprint: &[7; 32], run, now: NOW };
    host.write(|tx| tx.remember_idempotency(new)).unwrap();
    let find = |host: &Host, actor| host.store.read(|tx| tx.idempotent_run(namespace, actor, key)).unwrap();
    let found = find(&host, "ann").unwrap();
    assert_eq!((found.run, found.fingerprint), (run, [7; 32]));
    assert_eq!(find(&host, "bob"), None);
    assert_eq!(host.write(|tx| tx.forget_idempotency(NOW, 10)).unwrap(), 0);
    assert_eq!(host.write(|tx| tx.forget_idempotency(Timestamp(NOW.0 + 1), 10)).unwrap(), 1);
    assert_eq!(find(&host, "ann"), None);
}
