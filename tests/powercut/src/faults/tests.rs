//! Commands and faults without a disk.

use super::*;

fn command(line: &str) -> Command {
    Command::parse(line).unwrap()
}

fn faults(line: &str, now: Instant) -> Faults {
    let mut faults = Faults::default();
    let Command::Fault(fault) = command(line) else {
        unreachable!("`{line}` is a fault")
    };
    faults.apply(fault, now);
    faults
}

#[test]
fn a_counted_fault_strikes_its_kind_so_often_and_no_more() {
    let mut faults = faults("fail write 2", Instant::now());
    let struck: Vec<bool> = (0..4).map(|_| faults.strikes(IoKind::Write)).collect();
    assert_eq!(struck, [true, true, false, false]);
    assert!(!faults.strikes(IoKind::Read) && !faults.strikes(IoKind::Flush));
    assert_eq!(faults.struck(), 2);
}

#[test]
fn a_stall_ends_when_its_time_is_over() {
    let now = Instant::now();
    let faults = faults("stall 5000", now);
    assert_eq!(faults.stall_left(now), Duration::from_secs(5));
    assert_eq!(
        faults.stall_left(now + Duration::from_secs(6)),
        Duration::ZERO
    );
}

#[test]
fn healing_ends_all_faults_and_keeps_the_count_and_the_speed() {
    let now = Instant::now();
    let mut faults = faults("fail flush 9", now);
    faults.apply(Fault::Delay(Duration::from_micros(7)), now);
    faults.apply(Fault::Lie, now);
    assert!(faults.strikes(IoKind::Flush) && faults.lies());
    faults.apply(Fault::Heal, now);
    assert!(!faults.strikes(IoKind::Flush) && !faults.lies());
    assert_eq!(faults.struck(), 1);
    assert_eq!(faults.flush_time(), Duration::from_micros(7));
}

#[test]
fn a_line_that_is_no_command_is_refused() {
    for line in [
        "",
        "fail",
        "fail write",
        "fail write x",
        "fail seek 1",
        "stall",
        "lie off",
        "heal now",
    ] {
        assert_eq!(Command::parse(line), None, "{line}");
    }
    assert_eq!(
        command("mark two words"),
        Command::Mark("two words".to_owned())
    );
    assert_eq!(command("publish"), Command::Publish);
}
