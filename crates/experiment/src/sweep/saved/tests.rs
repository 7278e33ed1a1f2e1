use super::*;
use crate::Seeds;
use crate::sweep::fold::tests::{collected, plan, plan_with};
use crate::sweep::report;
use crate::sweep::report::Ended;
use expect_test::{Expect, expect};

fn saved(plan: &SweepPlan, collected: &Collected) -> String {
    let mut bytes = Vec::new();
    write(plan, collected, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn refused(plan: &SweepPlan, text: &str, expected: Expect) {
    let error = read(plan, text.as_bytes()).expect_err("it is refused");
    expected.assert_eq(&error.to_string());
}

#[test]
fn what_is_read_back_says_the_same() {
    let plan = plan(3);
    let before = collected(&plan, &[[5, 0], [0, 1], [7, 0]]);
    let after = read(&plan, saved(&plan, &before).as_bytes()).unwrap();
    assert_eq!(after.rows, before.rows);
    assert_eq!(after.latency, before.latency);
    assert_eq!(saved(&plan, &after).lines().count(), 1 + 2 + 6);
    let mut complete = after;
    complete.ended = Ended::Complete;
    assert_eq!(report(&plan, &complete), report(&plan, &before));
}

#[test]
fn a_file_of_another_sweep_is_refused_with_what_differs() {
    let ours = plan(3);
    let text = saved(&ours, &collected(&ours, &[[5, 0], [0, 1], [7, 0]]));
    let other = |change: &dyn Fn(&mut crate::sweep::SweepOptions)| {
        plan_with(|options| {
            options.seeds = Seeds::new(0, 3).unwrap();
            change(options);
        })
    };
    refused(
        &other(&|it| it.vary = vec!["producers/acks=0,1".parse().unwrap()]),
        &text,
        expect![
            "it is of another sweep: --vary is producers/acks=1,all there, producers/acks=0,1 here"
        ],
    );
    refused(
        &other(&|it| it.sets = vec!["duration=3s".parse().unwrap()]),
        &text,
        expect!["it is of another sweep: --set is none there, duration=3s here"],
    );
    refused(
        &other(&|it| it.seeds = Seeds::new(1, 9).unwrap()),
        &text,
        expect!["it is of another sweep: the first seed is 0 there, 1 here"],
    );
    refused(
        &other(&|it| it.seeds = Seeds::new(0, 2).unwrap()),
        &text,
        expect![
            "it is of another sweep: it has the seeds 0..3, more than 0..2: ask for as many or more"
        ],
    );
    refused(
        &ours,
        &text.replacen("\"acklab_sweep\":2", "\"acklab_sweep\":1", 1),
        expect!["it is of another sweep: the file's format is 1 there, 2 here"],
    );
    let narrower = other(&|it| it.until_width = Some("lost=5%".parse().unwrap()));
    assert_eq!(read(&narrower, text.as_bytes()).unwrap().seeds_done(), 3, "it may go on");
    let edited = text.replacen("nothing happens", "something happens", 1);
    refused(
        &ours,
        &edited,
        expect!["it is of another sweep: the scenario's text has changed at line 2"],
    );
    let older = text.replacen(
        &format!("\"acklab\":\"{}\"", env!("CARGO_PKG_VERSION")),
        "\"acklab\":\"0.0.1\"",
        1,
    );
    assert!(read(&ours, older.as_bytes()).unwrap_err().to_string().contains("0.0.1 there"));
}

#[test]
fn another_build_in_which_histories_are_others_is_told_by_running_a_seed_again() {
    let jobs = NonZeroUsize::MIN;
    let plan = plan(1);
    let go_on = |_: &Collected, _: u64| ControlFlow::Continue(());
    let ours = crate::sweep::run(&plan, jobs, Collected::new(&plan), go_on);
    assert!(check_first_seed(&plan, &ours, jobs).is_ok());
    let mut theirs = ours.clone();
    let SeedResult::Judged(numbers) = &mut theirs.rows[1][0].result else { panic!("a verdict") };
    numbers.digest = "0123456789abcdef".to_owned();
    let error = check_first_seed(&plan, &theirs, jobs).unwrap_err().to_string();
    assert!(error.contains("another build of acklab: seed 0 of acks=all comes to"), "{error}");
    assert!(check_first_seed(&plan, &Collected::new(&plan), jobs).is_ok(), "nothing to check");
}

#[test]
fn a_damaged_file_is_refused_with_its_line() {
    let ours = plan(3);
    let text = saved(&ours, &collected(&ours, &[[5, 0], [0, 1], [7, 0]]));
    refused(
        &ours,
        "",
        expect!["line 1: the file ends here: not a file that `acklab sweep` has saved"],
    );
    refused(&ours, "hello", expect!["line 1: not a file that `acklab sweep` has saved"]);
    let cut: String = text.lines().take(6).map(|line| format!("{line}\n")).collect();
    refused(&ours, &cut, expect!["line 7: the file ends here: no row of a seed"]);
    let half = &text[..text.len() - 40];
    refused(&ours, half, expect!["line 9: no row of a seed"]);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(4, 6);
    refused(&ours, &lines.join("\n"), expect!["line 5: the seeds are out of order"]);
    let twice = format!("{text}{}", text.lines().last().unwrap());
    refused(&ours, &twice, expect!["line 10: more rows than its first line says"]);
    let short = text.replacen("\"partitions\":[[1000,0,0,0],", "\"partitions\":[", 1);
    refused(&ours, &short, expect!["line 4: a row with other numbers than this sweep's"]);
}
