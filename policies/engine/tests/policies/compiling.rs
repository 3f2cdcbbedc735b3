//! Compiling in a child process, and what it makes of components that mean harm.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::{
    Class, CompileLimits, Compiler, Engine, Layout, Limits, LoadError, Memory, Outcome, PolicySet, builtin, classify,
};

use crate::support::{catalogue, compiler, decide, guest, hostile, on_org};

#[test]
fn what_a_child_has_compiled_decides_as_what_was_compiled_here() {
    let small = Engine::new(&Limits::small()).unwrap();
    let policies = builtin::COMPONENTS.map(|component| {
        let precompiled = compiler().compile(component).unwrap();
        assert_eq!(precompiled.class(), Class::Small);
        let policy = small.load_precompiled(&precompiled).unwrap();
        assert_eq!(policy.manifest(), small.load(component).unwrap().manifest());
        assert_eq!(policy.digest(), small.load(component).unwrap().digest());
        policy.into()
    });
    let set = PolicySet::new(policies, Memory::Off);
    assert_eq!(
        crate::golden::table(&set),
        crate::golden::table(&PolicySet::builtin(&small, Memory::Off).unwrap())
    );
}

#[test]
fn the_names_of_the_built_in_roles_are_told_in_their_order() {
    let small = Engine::new(&Limits::small()).unwrap();
    let names = builtin::COMPONENTS.map(|component| small.load(component).unwrap().name().to_owned());
    assert_eq!(names, builtin::NAMES.map(str::to_owned));
}

#[test]
fn a_policy_that_imports_wasi_is_a_script_and_sees_nothing_there() {
    let component = guest("imports_wasi");
    assert_eq!(classify(&component).unwrap(), Class::Script);
    let refused = Engine::new(&Limits::small()).unwrap().load(&component).unwrap_err();
    assert!(matches!(refused, LoadError::Imports { .. }), "{refused}");

    let precompiled = compiler().compile(&component).unwrap();
    let script = Engine::new(&Limits::script()).unwrap();
    let policy = script.load_precompiled(&precompiled).unwrap();
    let small = Engine::new(&Limits::small()).unwrap();
    let set = PolicySet::builtin(&small, Memory::Off).unwrap().arranged(&Layout {
        roles: vec![hostile(policy)],
        guards: Vec::new(),
    });
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    for _ in 0..3 {
        let outcome = decide(&set, on_org("hostile"), &operation);
        assert!(matches!(outcome, Outcome::Allowed(_)), "{outcome:?}");
    }
}

#[test]
fn an_import_that_is_not_wasi_is_refused_of_a_script_too() {
    let script = Engine::new(&Limits::script()).unwrap();
    let refused = script.load(&guest("imports_function")).unwrap_err();
    assert!(
        matches!(&refused, LoadError::Imports { name } if name.contains("now")),
        "{refused}"
    );
}

#[test]
fn a_policy_is_loaded_by_an_engine_of_its_class_only() {
    let precompiled = compiler().compile(builtin::COMPONENTS[0]).unwrap();
    let script = Engine::new(&Limits::script()).unwrap();
    let refused = script.load_precompiled(&precompiled).unwrap_err();
    assert!(matches!(refused, LoadError::OtherClass { .. }), "{refused}");
    let component = guest("imports_wasi");
    let precompiled = compiler().compile(&component).unwrap();
    let small = Engine::new(&Limits::small()).unwrap();
    let refused = small.load_precompiled(&precompiled).unwrap_err();
    assert!(matches!(refused, LoadError::OtherClass { .. }), "{refused}");
}

#[test]
fn a_component_that_would_keep_the_compiler_busy_is_refused_by_the_size_of_a_function_or_ended_in_its_child() {
    let bomb = compile_bomb(100_000);
    let refused = Engine::new(&Limits::small()).unwrap().load(&bomb).unwrap_err();
    assert!(matches!(refused, LoadError::FunctionTooLarge { .. }), "{refused}");

    assert_eq!(classify(&bomb).unwrap(), Class::Script);
    let tight = CompileLimits {
        cpu: Duration::from_secs(1),
        wall: Duration::from_secs(20),
        ..CompileLimits::of(Class::Script)
    };
    let started = Instant::now();
    let refused = compiler().with_limits(Class::Script, tight).compile(&bomb).unwrap_err();
    assert!(matches!(refused, LoadError::CompileTime), "{refused}");
    assert!(started.elapsed() < tight.wall, "{:?}", started.elapsed());

    // By the clock, where the processor is not what it waits for.
    let short = CompileLimits {
        wall: Duration::from_millis(100),
        ..CompileLimits::of(Class::Script)
    };
    let started = Instant::now();
    let refused = compiler().with_limits(Class::Script, short).compile(&bomb).unwrap_err();
    assert!(matches!(refused, LoadError::CompileTime), "{refused}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_child_that_needs_more_memory_than_it_may_have_is_told_of() {
    let scarce = CompileLimits {
        memory_bytes: 8 << 20,
        ..CompileLimits::of(Class::Small)
    };
    let refused = compiler()
        .with_limits(Class::Small, scarce)
        .compile(builtin::COMPONENTS[0]);
    // As where the allocator gives up: by the end of the process, or by an error of the compiler's.
    let refused = refused.map(|_| ()).unwrap_err();
    assert!(
        matches!(refused, LoadError::CompileMemory | LoadError::NotCompiled(_)),
        "{refused}"
    );
}

#[test]
fn what_cannot_be_compiled_is_refused_with_what_the_compiler_says() {
    let invalid = wat::parse_str("(component (core module (func (result i32) i64.const 0)))").unwrap();
    let refused = compiler().compile(&invalid).unwrap_err();
    assert!(
        matches!(&refused, LoadError::NotCompiled(said) if said.to_string().contains("type mismatch")),
        "{refused}"
    );
    let cut_off = &builtin::COMPONENTS[0][..3_000];
    assert!(compiler().compile(cut_off).is_err());
    assert!(matches!(compiler().compile(b"not wasm"), Err(LoadError::NotAComponent)));
}

#[test]
fn a_compiler_that_cannot_be_started_is_told_of() {
    let refused = Compiler::new(PathBuf::from("/nothing/here"))
        .compile(builtin::COMPONENTS[0])
        .unwrap_err();
    assert!(matches!(refused, LoadError::Compiler(_)), "{refused}");
}

#[test]
fn tables_memories_and_instances_past_their_bounds_are_refused() {
    let many_instances = format!(
        "(component (core module $m) {})",
        "(core instance (instantiate $m))".repeat(100)
    );
    let bombs = [
        "(component (core module $m (table 30000 funcref)) (core instance (instantiate $m)))",
        "(component (core module $m (memory 2000)) (core instance (instantiate $m)))",
        &many_instances,
    ];
    let script = Engine::new(&Limits::script()).unwrap();
    for bomb in bombs {
        let bomb = wat::parse_str(bomb).unwrap();
        assert_eq!(classify(&bomb).unwrap(), Class::Script);
        let precompiled = compiler().compile(&bomb);
        let refused = precompiled.and_then(|precompiled| script.load_precompiled(&precompiled));
        assert!(refused.is_err());
        let here = script.load(&bomb).unwrap_err();
        assert!(matches!(here, LoadError::NotCompiled(_)), "{here}");
    }
}

/// A component with one function of so many blocks, each of which can be left.
fn compile_bomb(blocks: usize) -> Vec<u8> {
    let mut text = "(component (core module (func (param i32)".to_owned();
    for _ in 0..blocks {
        text.push_str("(block local.get 0 br_if 0)");
    }
    text.push_str(")))");
    wat::parse_str(text).unwrap()
}
