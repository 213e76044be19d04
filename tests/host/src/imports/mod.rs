//! The functions that a module can import, and how their results get into its memory.

/// Links one host call, which counts it and asks the hook before the body runs.
macro_rules! host_call {
    ($linker:ident, $call:ident, |$guest:pat_param $(, $argument:tt: $type:ty)* $(,)?| $body:expr) => {
        $linker.func_wrap(
            Call::$call.module(),
            Call::$call.name(),
            |mut guest: Guest<'_> $(, $argument: $type)*| {
                answer(&mut guest, Call::$call, |$guest| $body)
            },
        )?;
    };
}

mod general;
mod maps;
mod wasi;

use wasmtime::{Caller, ExternType, Linker, Module, Val};

use crate::abi::Status;
use crate::calls::Call;
use crate::state::State;

type Guest<'a> = Caller<'a, State>;

/// The reason why a host call failed.
enum Refusal {
    /// The module gets this status.
    Status(Status),
    /// The module trapped while it allocated memory.
    Trap(wasmtime::Error),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Refusal::Status(status)
    }
}

type Answer = Result<(), Refusal>;

/// Links all functions of Envoy, and stubs for the other imports of this module. Returns the names
/// of imports that Envoy does not have.
pub(crate) fn link(linker: &mut Linker<State>, module: &Module) -> wasmtime::Result<Vec<String>> {
    general::link(linker)?;
    maps::link(linker)?;
    wasi::link(linker)?;

    let mut unknown = Vec::new();
    for import in module.imports() {
        let (space, name) = (import.module(), import.name());
        let call = match space {
            "env" | "wasi_snapshot_preview1" => Call::by_name(name),
            _ => Call::Unknown,
        };
        let ExternType::Func(ty) = import.ty() else {
            continue;
        };
        let stub = linker.func_new(space, name, ty, move |mut guest, _, results| {
            let status = answer(&mut guest, call, |_| Err(Status::UNIMPLEMENTED.into()))?;
            // No function of either ABI returns more than one value.
            if let Some(result) = results.first_mut() {
                *result = Val::I32(status as i32);
            }
            Ok(())
        });
        // An error means that the call is linked above.
        if stub.is_ok() && call == Call::Unknown {
            unknown.push(format!("{space}.{name}"));
        }
    }
    Ok(unknown)
}

/// Every host call: counts it, asks the hook, then runs it.
#[inline]
fn answer(
    guest: &mut Guest<'_>,
    call: Call,
    body: impl FnOnce(&mut Guest<'_>) -> Answer,
) -> wasmtime::Result<u32> {
    let state = guest.data_mut();
    state.counts.hit(call);
    if state.starting && call.is_proxy() && call != Call::Log {
        wasmtime::bail!("{} is not allowed while the VM starts", call.name());
    }
    if let Some(hook) = &mut state.hook
        && let Some(status) = hook(call)
    {
        return Ok(status.0);
    }
    match body(guest) {
        Ok(()) => Ok(Status::OK.0),
        Err(Refusal::Status(status)) => Ok(status.0),
        Err(Refusal::Trap(trap)) => Err(trap),
    }
}

/// The memory of the module and the state of the host.
fn parts<'a>(guest: &'a mut Guest<'_>) -> (&'a mut [u8], &'a mut State) {
    match guest.data().memory {
        Some(memory) => memory.data_and_store_mut(guest),
        // Without an instance no pointer is valid.
        None => (&mut [], guest.data_mut()),
    }
}

fn read(memory: &[u8], pointer: u32, length: u32) -> Result<&[u8], Status> {
    let start = pointer as usize;
    memory
        .get(start..start + length as usize)
        .ok_or(Status::INVALID_MEMORY_ACCESS)
}

fn write(memory: &mut [u8], pointer: u32, bytes: &[u8]) -> Result<(), Status> {
    let start = pointer as usize;
    memory
        .get_mut(start..start + bytes.len())
        .ok_or(Status::INVALID_MEMORY_ACCESS)?
        .copy_from_slice(bytes);
    Ok(())
}

/// Returns bytes to the module: `fill` collects them, the module allocates memory for them and
/// gets pointer and length.
fn give(
    guest: &mut Guest<'_>,
    return_pointer: u32,
    return_length: u32,
    fill: impl FnOnce(&[u8], &State, &mut Vec<u8>) -> Result<(), Status>,
) -> Answer {
    let mut bytes = std::mem::take(&mut guest.data_mut().scratch);
    bytes.clear();
    let (memory, state) = parts(guest);
    let answer = fill(memory, state, &mut bytes)
        .map_err(Refusal::from)
        .and_then(|()| place(guest, &bytes, return_pointer, return_length));
    guest.data_mut().scratch = bytes;
    answer
}

fn place(guest: &mut Guest<'_>, bytes: &[u8], return_pointer: u32, return_length: u32) -> Answer {
    // As in Envoy, empty bytes are a null pointer without an allocation.
    let mut pointer = 0;
    if !bytes.is_empty() {
        let allocate = guest.data().allocate.clone();
        let allocate = allocate.ok_or(Status::INVALID_MEMORY_ACCESS)?;
        pointer = allocate
            .call(&mut *guest, bytes.len() as u32)
            .map_err(Refusal::Trap)?;
        if pointer == 0 {
            return Err(Status::INVALID_MEMORY_ACCESS.into());
        }
    }
    let length = bytes.len() as u32;
    let (memory, _) = parts(guest);
    write(memory, pointer, bytes)?;
    write(memory, return_pointer, &pointer.to_le_bytes())?;
    write(memory, return_length, &length.to_le_bytes())?;
    Ok(())
}
