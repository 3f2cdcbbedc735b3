//! Hostile guests: each ends as a fault or is refused, within the limits, and nothing of it is left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine::{Engine, Fault, Limits, LoadError, ManifestProblem, Memory, Outcome, PolicySet, SubjectView, builtin};

use crate::support::{catalogue, decide, guest, nobody, on_org, set_of, with_hostile};

/// Far more than any bounded evaluation takes even on a busy machine; an unbounded one never ends.
const LONG: Duration = Duration::from_secs(10);

#[test]
fn an_endless_loop_ends_when_its_fuel_is_used_up() {
    assert_eq!(fault_of("endless_loop", &Limits::default()), Fault::OutOfFuel);
}

#[test]
fn an_endless_loop_whose_work_is_not_counted_ends_at_the_deadline() {
    let fuel = None;
    assert_eq!(
        fault_of(
            "endless_loop",
            &Limits {
                fuel,
                ..Limits::default()
            }
        ),
        Fault::DeadlineExceeded
    );
}

#[test]
fn long_single_instructions_end_by_fuel_and_without_it_at_the_deadline() {
    assert_eq!(fault_of("memory_fill", &Limits::default()), Fault::OutOfFuel);
    let fuel = None;
    assert_eq!(
        fault_of(
            "memory_fill",
            &Limits {
                fuel,
                ..Limits::default()
            }
        ),
        Fault::DeadlineExceeded
    );
}

#[test]
fn a_policy_that_takes_memory_without_end_is_stopped_at_its_limit() {
    assert_eq!(fault_of("memory_bomb", &Limits::default()), Fault::MemoryExceeded);
}

#[test]
fn a_policy_that_calls_itself_without_end_is_stopped() {
    // It keeps the guest's own stack small, so that of the host must run out; with ample fuel nothing else does.
    let limits = Limits {
        fuel: Some(u64::MAX),
        stack_bytes_max: 64 << 10,
        ..Limits::default()
    };
    assert_eq!(fault_of("deep_recursion", &limits), Fault::StackExhausted);
}

#[test]
fn a_panic_of_the_policy_is_a_trap() {
    assert_eq!(fault_of("panic_in_decide", &Limits::default()), Fault::Trapped);
}

#[test]
fn a_verdict_that_there_is_not_is_no_verdict() {
    assert_eq!(fault_of("garbage_verdict", &Limits::default()), Fault::AnswerInvalid);
}

#[test]
fn a_runaway_is_ended_within_twice_its_limit() {
    let limits = Limits {
        fuel: None,
        ..Limits::default()
    };
    let set = set_of(
        Engine::new(&limits).unwrap().load(&guest("endless_loop")).unwrap(),
        Memory::Off,
    );
    let limit = limits.tick * u32::try_from(limits.deadline_ticks).unwrap();
    let shortest = (0..3).map(|_| {
        let started = Instant::now();
        assert_eq!(fault_in(&set, "hostile"), Fault::DeadlineExceeded);
        started.elapsed()
    });
    // The least of three: the machine may have had no processor for the clock meanwhile.
    let shortest = shortest.min().unwrap();
    assert!(shortest <= limit * 2, "{shortest:?}");
}

#[test]
fn a_policy_that_asks_for_an_input_it_is_not_given_is_at_fault() {
    assert_eq!(fault_of("asks_for_time", &Limits::default()), Fault::InputNotGiven);
}

#[test]
fn state_that_a_policy_keeps_is_gone_at_the_next_question() {
    let engine = Engine::new(&Limits::default()).unwrap();
    let set = set_of(engine.load(&guest("keeps_state")).unwrap(), Memory::Off);
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    for _ in 0..20 {
        assert_eq!(decide(&set, on_org("hostile"), &operation), Outcome::NotAllowed);
    }
}

#[test]
fn a_hostile_policy_leaves_the_engine_fit_for_others() {
    let engine = Engine::new(&Limits::default()).unwrap();
    let builtin = PolicySet::builtin(&engine, Memory::Off).unwrap();
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    for name in ["endless_loop", "memory_bomb", "memory_fill", "panic_in_decide"] {
        let set = with_hostile(&builtin, name);
        for _ in 0..5 {
            assert!(
                matches!(decide(&set, on_org("hostile"), &operation), Outcome::Undecided { .. }),
                "{name}"
            );
            assert!(
                matches!(decide(&set, on_org("member"), &operation), Outcome::Allowed(_)),
                "{name}"
            );
        }
    }
}

#[test]
fn a_policy_that_finds_no_free_place_is_a_fault_of_its_own() {
    let limits = Limits {
        instances_max: 1,
        fuel: None,
        ..Limits::default()
    };
    let engine = Engine::new(&limits).unwrap();
    let set = || set_of(engine.load(&guest("endless_loop")).unwrap(), Memory::Off);
    let (occupying, waiting) = (set(), set());
    let done = AtomicBool::new(false);
    let met = thread::scope(|scope| {
        let done = &done;
        // Each question holds the one place for as long as the deadline lets it.
        scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                fault_in(&occupying, "hostile");
            }
        });
        let met = (0..1_000).any(|_| fault_in(&waiting, "hostile") == Fault::NoSlot);
        done.store(true, Ordering::SeqCst);
        met
    });
    assert!(met);
}

#[test]
fn a_component_that_imports_a_function_is_refused() {
    let refused = refusal_of(&guest("imports_function"));
    assert!(
        matches!(&refused, LoadError::Imports { name } if name.contains("now")),
        "{refused}"
    );
}

#[test]
fn what_is_not_a_component_is_refused() {
    let core_module = b"\0asm\x01\0\0\0";
    for bytes in [&b""[..], b"not wasm", core_module, b"\0asm\x0d\0"] {
        let refused = refusal_of(bytes);
        assert!(matches!(refused, LoadError::NotAComponent), "{refused}");
    }
    let empty_component = b"\0asm\x0d\0\x01\0";
    let refused = refusal_of(empty_component);
    assert!(matches!(refused, LoadError::WrongWorld(_)), "{refused}");
    let cut_off = &builtin::COMPONENTS[0][..3_000];
    let refused = refusal_of(cut_off);
    assert!(matches!(refused, LoadError::NotCompiled(_)), "{refused}");
}

#[test]
fn a_component_is_taken_at_the_size_limit_and_refused_one_byte_past_it() {
    let component = builtin::COMPONENTS[0];
    let load = |most| {
        let limits = Limits {
            component_bytes_max: most,
            ..Limits::default()
        };
        Engine::new(&limits).unwrap().load(component).map(|_| ())
    };
    assert!(load(component.len()).is_ok());
    let refused = load(component.len() - 1).unwrap_err();
    assert!(matches!(refused, LoadError::TooLarge { .. }), "{refused}");
}

#[test]
fn a_component_with_a_large_function_is_refused_before_it_is_compiled() {
    let limits = Limits {
        function_bytes_max: 100,
        ..Limits::default()
    };
    let refused = Engine::new(&limits).unwrap().load(builtin::COMPONENTS[0]).unwrap_err();
    assert!(
        matches!(refused, LoadError::FunctionTooLarge { most: 100, .. }),
        "{refused}"
    );
}

#[test]
fn a_component_that_needs_more_memory_than_there_is_is_refused() {
    let limits = Limits {
        memory_bytes_max: 0,
        ..Limits::default()
    };
    let refused = Engine::new(&limits).unwrap().load(builtin::COMPONENTS[0]).unwrap_err();
    assert!(matches!(refused, LoadError::NotCompiled(_)), "{refused}");
}

#[test]
fn a_policy_that_cannot_describe_itself_within_the_limits_is_refused() {
    let refused = refusal_of(&guest("panic_in_describe"));
    assert!(matches!(refused, LoadError::NotDescribed(Fault::Trapped)), "{refused}");
    let refused = refusal_of(&guest("long_manifest"));
    assert!(
        matches!(refused, LoadError::NotDescribed(Fault::AnswerInvalid)),
        "{refused}"
    );
}

#[test]
fn a_policy_whose_manifest_breaks_the_contract_is_refused() {
    let refused = refusal_of(&guest("breaks_name"));
    assert!(
        matches!(refused, LoadError::Manifest(ManifestProblem::Name)),
        "{refused}"
    );
}

fn refusal_of(component: &[u8]) -> LoadError {
    Engine::new(&Limits::default()).unwrap().load(component).unwrap_err()
}

/// Returns the fault that a guest ends with.
fn fault_of(name: &str, limits: &Limits) -> Fault {
    let engine = Engine::new(limits).unwrap();
    let policy = engine.load(&guest(name)).unwrap();
    let role = policy.name().to_owned();
    let set = set_of(policy, Memory::default());
    let started = Instant::now();
    let fault = fault_in(&set, &role);
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
    fault
}

/// Returns the fault that a role's policy ends with.
fn fault_in(set: &PolicySet, role: &str) -> Fault {
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    let subject = SubjectView {
        org_role: Some(role),
        ..nobody()
    };
    match decide(set, subject, &operation) {
        Outcome::Undecided { fault, .. } => fault,
        verdict @ (Outcome::Allowed(_) | Outcome::NotAllowed | Outcome::Denied { .. }) => {
            panic!("{role} gave a verdict: {verdict:?}")
        }
    }
}
