//! WASI for the runtimes that cannot do without: every function is there, and none shows anything.
//!
//! The clock stands still, randomness is the same octets each time, there are no arguments, variables or files, output is
//! thrown away. So a script policy too gives the same verdict for the same request. What would have to do something real
//! fails; what ends the process is a trap.

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{
    Component, ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType, Val, WasmList,
};
use wasmtime::{Result, StoreContextMut};

use crate::Engine;
use crate::evaluation::Bounds;

/// Returns whether an import of this name is one that stands for nothing.
pub(crate) fn is_stubbed(import: &str) -> bool {
    STUBBED.iter().any(|package| import.starts_with(package))
}

/// Defines every function and resource that a component imports of WASI.
pub(crate) fn define(engine: &Engine, component: &Component, linker: &mut Linker<Bounds>) -> Result<()> {
    let engine = engine.wasmtime();
    for (import, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else {
            continue;
        };
        if !is_stubbed(import) {
            continue;
        }
        let mut defined = linker.instance(import)?;
        for (name, item) in interface.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => define_function(&mut defined, import, name)?,
                ComponentItem::Resource(_) => {
                    defined.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
                }
                ComponentItem::CoreFunc(_)
                | ComponentItem::Module(_)
                | ComponentItem::Component(_)
                | ComponentItem::ComponentInstance(_)
                | ComponentItem::Type(_) => {}
            }
        }
    }
    Ok(())
}

/// What stands behind every handle.
struct Nothing;

/// Error of a stream, as `wasi:io/streams` has it.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "part of the type; output never fails")]
    Failed(Resource<Nothing>),
    #[component(name = "closed")]
    #[expect(dead_code, reason = "as the other")]
    Closed,
}

/// Packages of which runtimes import something without being asked to.
const STUBBED: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Most octets that are taken, or given, at once.
const STREAM_BYTES_MAX: u64 = 4096;

/// The octet that all randomness consists of.
const RANDOM: u8 = 0x5a;

fn define_function(interface: &mut LinkerInstance<'_, Bounds>, import: &str, name: &str) -> Result<()> {
    if matches!(
        name,
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush"
    ) {
        return interface.func_wrap(
            name,
            |_: StoreContextMut<'_, Bounds>, (_, _): (Resource<Nothing>, WasmList<u8>)| {
                Ok((Result::<(), StreamError>::Ok(()),))
            },
        );
    }
    let fails = import.starts_with("wasi:filesystem/") || import.starts_with("wasi:sockets/");
    let function = name.to_owned();
    interface.func_new(name, move |mut store, ty, parameters, results| {
        match special(&function, parameters)? {
            Some(value) => {
                if let Some(result) = results.first_mut() {
                    *result = value;
                }
            }
            None => neutral_results(&mut store, &ty, fails, results)?,
        }
        parameters.iter().try_for_each(|value| give_back(&mut store, value))
    })
}

/// Gives back the handles in a parameter: a call may not end while it holds any that were lent to it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "no function here has handles within other types of parameters"
)]
fn give_back(store: &mut StoreContextMut<'_, Bounds>, value: &Val) -> Result<()> {
    match value {
        Val::Resource(handle) => handle.resource_drop(store),
        Val::List(values) => values.iter().try_for_each(|value| give_back(store, value)),
        _ => Ok(()),
    }
}

/// Returns the value of the functions whose neutral one would have a runtime wait for ever, or be taken for an error.
fn special(function: &str, parameters: &[Val]) -> Result<Option<Val>> {
    let ok = |value: Val| Val::Result(Ok(Some(Box::new(value))));
    let closed = || Val::Result(Err(Some(Box::new(Val::Variant("closed".to_owned(), None)))));
    Ok(Some(match function {
        "exit" | "exit-with-code" => return Err(wasmtime::Trap::UnreachableCodeReached.into()),
        "[method]output-stream.check-write" => ok(Val::U64(STREAM_BYTES_MAX)),
        "[method]input-stream.read"
        | "[method]input-stream.blocking-read"
        | "[method]input-stream.skip"
        | "[method]input-stream.blocking-skip" => closed(),
        "[method]pollable.ready" => Val::Bool(true),
        "poll" => match parameters {
            [Val::List(pollables)] => Val::List((0..).map(Val::U32).take(pollables.len()).collect()),
            _ => return Ok(None),
        },
        "get-random-bytes" | "get-insecure-random-bytes" => match parameters {
            [Val::U64(count)] if *count <= STREAM_BYTES_MAX => {
                Val::List((0..*count).map(|_| Val::U8(RANDOM)).collect())
            }
            _ => return Err(wasmtime::Trap::UnreachableCodeReached.into()),
        },
        "get-random-u64" | "get-insecure-random-u64" => Val::U64(u64::from_le_bytes([RANDOM; 8])),
        _ => return Ok(None),
    }))
}

fn neutral_results(
    store: &mut StoreContextMut<'_, Bounds>,
    function: &ComponentFunc,
    fails: bool,
    results: &mut [Val],
) -> Result<()> {
    for (result, ty) in results.iter_mut().zip(function.results()) {
        *result = neutral(store, &ty, fails)?;
    }
    Ok(())
}

/// Returns the value of a type that says least: zero, empty, absent; for a result success, or failure.
fn neutral(store: &mut StoreContextMut<'_, Bounds>, ty: &Type, fails: bool) -> Result<Val> {
    let mut boxed = |ty: Option<Type>| -> Result<Option<Box<Val>>> {
        ty.map(|ty| neutral(store, &ty, fails).map(Box::new)).transpose()
    };
    Ok(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char(' '),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Result(result) if fails => Val::Result(Err(boxed(result.err())?)),
        Type::Result(result) => Val::Result(Ok(boxed(result.ok())?)),
        Type::Enum(cases) => Val::Enum(cases.names().next().unwrap_or_default().to_owned()),
        Type::Variant(cases) => match cases.cases().next() {
            Some(first) => Val::Variant(first.name.to_owned(), boxed(first.ty)?),
            None => return Err(wasmtime::Trap::UnreachableCodeReached.into()),
        },
        Type::Record(record) => {
            let fields = record.fields();
            let fields = fields.map(|field| Ok((field.name.to_owned(), neutral(store, &field.ty, fails)?)));
            Val::Record(fields.collect::<Result<_>>()?)
        }
        Type::Tuple(tuple) => {
            let values = tuple.types().map(|ty| neutral(store, &ty, fails));
            Val::Tuple(values.collect::<Result<_>>()?)
        }
        Type::Own(_) => Val::Resource(Resource::<Nothing>::new_own(0).try_into_resource_any(store)?),
        Type::Borrow(_)
        | Type::Map(_)
        | Type::FixedLengthList(_)
        | Type::Future(_)
        | Type::Stream(_)
        | Type::ErrorContext => return Err(wasmtime::Trap::UnreachableCodeReached.into()),
    })
}
