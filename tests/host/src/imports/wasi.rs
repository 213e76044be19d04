//! The twelve WASI functions of Envoy. A module that imports others does not load in Envoy.

use wasmtime::Linker;

use super::{Guest, answer, parts, read, write};
use crate::abi::{LogLevel, Status};
use crate::calls::Call;
use crate::state::State;

// errno values, passed as a `Status`, which is a number as well.
const BAD_FD: Status = Status(8);
const FAULT: Status = Status(21);
const NO_SYS: Status = Status(52);
const NOT_SUPPORTED: Status = Status(58);

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_files(linker)?;
    link_process(linker)
}

fn link_files(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call! { linker, FdWrite, |guest, fd: u32, vectors: u32, count: u32, return_written: u32| {
        let level = match fd {
            1 => LogLevel::Info,
            2 => LogLevel::Error,
            _ => return Err(BAD_FD.into()),
        };
        let (memory, state) = parts(guest);
        let mut text = Vec::new();
        for vector in 0..count {
            let vector = vectors + vector * 8;
            let pointer = word(memory, vector)?;
            let length = word(memory, vector + 4)?;
            text.extend_from_slice(read(memory, pointer, length).map_err(|_| FAULT)?);
        }
        if !text.is_empty() {
            state.log(level, text.strip_suffix(b"\n").unwrap_or(&text));
        }
        put(memory, return_written, text.len() as u32)
    } }
    host_call! { linker, FdRead, |_, _: u32, _: u32, _: u32, _: u32| Err(NO_SYS.into()) }
    host_call! { linker, FdSeek, |_, _: u32, _: i64, _: u32, _: u32| Ok(()) }
    host_call! { linker, FdClose, |_, _: u32| Ok(()) }
    host_call! { linker, FdFdstatGet, |guest, fd: u32, return_stat: u32| {
        if fd != 1 && fd != 2 {
            return Err(BAD_FD.into());
        }
        // All zero except the right to write.
        let mut stat = [0; 24];
        stat[8] = 64;
        let (memory, _) = parts(guest);
        write(memory, return_stat, &stat).map_err(|_| FAULT)?;
        Ok(())
    } }
    Ok(())
}

fn link_process(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call! { linker, EnvironGet, |guest, pointers: u32, buffer: u32| {
        let (memory, state) = parts(guest);
        let mut at = buffer;
        for (nth, (name, value)) in state.environment.iter().enumerate() {
            put(memory, pointers + 4 * nth as u32, at)?;
            let entry = format!("{name}={value}\0");
            write(memory, at, entry.as_bytes()).map_err(|_| FAULT)?;
            at += entry.len() as u32;
        }
        Ok(())
    } }
    host_call! { linker, EnvironSizesGet, |guest, return_count: u32, return_size: u32| {
        let (memory, state) = parts(guest);
        let entries = state.environment.iter();
        let size: usize = entries
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum();
        put(memory, return_count, state.environment.len() as u32)?;
        put(memory, return_size, size as u32)
    } }
    host_call! { linker, ArgsGet, |_, _: u32, _: u32| Ok(()) }
    host_call! { linker, ArgsSizesGet, |guest, return_count: u32, return_size: u32| {
        let (memory, _) = parts(guest);
        put(memory, return_count, 0)?;
        put(memory, return_size, 0)
    } }
    linker.func_wrap(
        Call::ProcExit.module(),
        Call::ProcExit.name(),
        |mut guest: Guest<'_>, _: u32| -> wasmtime::Result<()> {
            // Envoy returns from it; an unreachable instruction of Rust behind it then traps.
            answer(&mut guest, Call::ProcExit, |_| Ok(())).map(drop)
        },
    )?;
    host_call! { linker, ClockTimeGet, |guest, clock: u32, _: u64, return_time: u32| {
        let (memory, state) = parts(guest);
        let time = match clock {
            0 => state.process.clock().realtime(),
            1 => state.process.clock().monotonic(),
            _ => return Err(NOT_SUPPORTED.into()),
        };
        write(memory, return_time, &time.to_le_bytes()).map_err(|_| FAULT)?;
        Ok(())
    } }
    host_call! { linker, RandomGet, |guest, buffer: u32, length: u32| {
        let (memory, state) = parts(guest);
        let start = buffer as usize;
        let target = memory.get_mut(start..start + length as usize);
        for chunk in target.ok_or(FAULT)?.chunks_mut(8) {
            chunk.copy_from_slice(&state.random().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    } }
    Ok(())
}

fn word(memory: &[u8], pointer: u32) -> Result<u32, Status> {
    let bytes = read(memory, pointer, 4).map_err(|_| FAULT)?;
    let bytes = bytes.try_into().map_err(|_| FAULT)?;
    Ok(u32::from_le_bytes(bytes))
}

fn put(memory: &mut [u8], pointer: u32, value: u32) -> super::Answer {
    write(memory, pointer, &value.to_le_bytes()).map_err(|_| FAULT)?;
    Ok(())
}
