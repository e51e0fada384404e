//! Tests of the desk: what is refused, what is told, who may order what. The thread and the kernel are `hw-tests`' business.

use super::*;
use crate::cam::ca_pmt::tests::programme;

fn cams() -> Cams {
    let spec = |name: &str, tuner: &str| CamSpec {
        name: name.to_owned(),
        device: "pci:0000:03:00.0".parse().unwrap(),
        slot: 0,
        tuners: vec![tuner.into()],
        systems: vec![],
        pacing: Pacing { services_max: 1, ..Pacing::default() },
        may_reset: true,
    };
    Cams::new(&[spec("one", "sat-1"), spec("two", "sat-2")], Monotonic::new())
}

fn want(cams: &Cams, tuner: &str, services: &[u16]) {
    let input: Arc<str> = "dvb://astra".into();
    let seen = services.iter().map(|service| (programme(*service, 1, &[0x0500]), View::Scrambled)).collect();
    cams.post(&input, Some(&tuner.into()), seen);
}

/// `NAME SERVICE LIST TROUBLE` of every service.
fn shown(cams: &Cams) -> Vec<String> {
    let of = |cam: CamStatus| {
        let name = cam.name;
        cam.services.into_iter().map(move |one| format!("{name} {} {}: {}", one.service, one.list, one.trouble))
    };
    cams.reports().into_iter().flat_map(of).collect()
}

#[test]
fn what_no_module_takes_is_shown_with_the_module_and_the_reason() {
    let cams = cams();
    want(&cams, "sat-1", &[6911]);
    assert_eq!(shown(&cams), ["one 6911 refused: the module is not ready"]);
    cams.able(0, Some(vec![0x1800]));
    assert_eq!(shown(&cams), ["one 6911 refused: the module has none of its CA systems"]);
    cams.able(0, Some(vec![0x0500]));
    assert_eq!(shown(&cams), [""; 0], "it is on the list of the module's thread");
    assert_eq!(cams.services_of(0).len(), 1);
    want(&cams, "sat-1", &[6911, 6912]);
    assert_eq!(shown(&cams), ["one 6912 refused: the module has as many services as services_max allows"]);
    want(&cams, "sat-2", &[6911]);
    assert_eq!(shown(&cams), ["two 6911 refused: the module is not ready"], "the input went to another tuner");
    want(&cams, "sat-3", &[6911]);
    assert_eq!(shown(&cams), [""; 0], "no module behind that tuner");
}

#[test]
fn a_closed_input_wants_nothing() {
    let cams = cams();
    want(&cams, "sat-1", &[6911]);
    cams.able(0, Some(vec![0x0500]));
    let turn = cams.shared.turn.load(Ordering::Acquire);
    cams.post(&"dvb://astra".into(), None, vec![]);
    assert!(cams.services_of(0).is_empty() && cams.shared.turn.load(Ordering::Acquire) > turn);
}

#[test]
fn orders_must_fit_what_is_shown() {
    let cams = cams();
    assert_eq!(cams.order("three", Order::Menu), Err(OrderError::Unknown));
    assert_eq!(cams.order("one", Order::Menu), Err(Unable::NoMenu.into()));
    assert_eq!(cams.order("one", Order::Answer(1, Reply::Cancel)), Err(Unable::Misfit(Misfit::Gone).into()));
    lock(&cams.shared.berths[0].status).menu = true;
    for _ in 0..ORDERS_MAX {
        assert_eq!(cams.order("one", Order::Menu), Ok(()));
    }
    assert_eq!(cams.order("one", Order::Close), Err(OrderError::Busy));
}
