//! Host calls on header maps.

use wasmtime::Linker;

use super::{Guest, Refusal, answer, give, parts, read};
use crate::abi::{Status, map};
use crate::calls::Call;
use crate::headers::Headers;
use crate::state::State;

pub(super) const CALLS: &[Call] = &[
    Call::GetHeaderMapPairs,
    Call::SetHeaderMapPairs,
    Call::GetHeaderMapValue,
    Call::AddHeaderMapValue,
    Call::ReplaceHeaderMapValue,
    Call::RemoveHeaderMapValue,
];

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        Call::GetHeaderMapPairs.name(),
        |mut guest: Guest<'_>, map: u32, return_pointer: u32, return_length: u32| {
            answer(&mut guest, Call::GetHeaderMapPairs, |guest| {
                give(guest, return_pointer, return_length, |_, state, out| {
                    known(map)?;
                    // Unlike in the other getters, a missing map is not an error but empty.
                    let headers = state.stream().and_then(|stream| stream.readable(map));
                    if let Some(headers) = headers
                        && !headers.is_empty()
                    {
                        headers.serialize_into(out);
                    }
                    Ok(())
                })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::GetHeaderMapValue.name(),
        |mut guest: Guest<'_>, map: u32, key: u32, key_length: u32, pointer: u32, length: u32| {
            answer(&mut guest, Call::GetHeaderMapValue, |guest| {
                give(guest, pointer, length, |memory, state, out| {
                    known(map)?;
                    let key = read(memory, key, key_length)?;
                    let headers = state.stream().and_then(|stream| stream.readable(map));
                    let headers = headers.ok_or(Status::BAD_ARGUMENT)?;
                    out.extend_from_slice(headers.get(key).ok_or(Status::NOT_FOUND)?);
                    Ok(())
                })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::SetHeaderMapPairs.name(),
        |mut guest: Guest<'_>, map: u32, pointer: u32, length: u32| {
            answer(&mut guest, Call::SetHeaderMapPairs, |guest| {
                change(guest, map, |memory, headers| {
                    // Invalid bytes are an empty map, as in Envoy.
                    let bytes = read(memory, pointer, length)?;
                    *headers = Headers::deserialize(bytes).unwrap_or_default();
                    Ok(())
                })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::AddHeaderMapValue.name(),
        |mut guest: Guest<'_>, map: u32, key: u32, key_length: u32, value: u32, length: u32| {
            answer(&mut guest, Call::AddHeaderMapValue, |guest| {
                change(guest, map, |memory, headers| {
                    headers.add(read(memory, key, key_length)?, read(memory, value, length)?);
                    Ok(())
                })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::ReplaceHeaderMapValue.name(),
        |mut guest: Guest<'_>, map: u32, key: u32, key_length: u32, value: u32, length: u32| {
            answer(&mut guest, Call::ReplaceHeaderMapValue, |guest| {
                change(guest, map, |memory, headers| {
                    headers.replace(read(memory, key, key_length)?, read(memory, value, length)?);
                    Ok(())
                })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::RemoveHeaderMapValue.name(),
        |mut guest: Guest<'_>, map: u32, key: u32, key_length: u32| {
            answer(&mut guest, Call::RemoveHeaderMapValue, |guest| {
                change(guest, map, |memory, headers| {
                    headers.remove(read(memory, key, key_length)?);
                    Ok(())
                })
            })
        },
    )?;
    Ok(())
}

fn known(map: u32) -> Result<(), Status> {
    if map > map::MAX {
        return Err(Status::BAD_ARGUMENT);
    }
    Ok(())
}

fn change(
    guest: &mut Guest<'_>,
    map: u32,
    edit: impl FnOnce(&[u8], &mut Headers) -> Result<(), Status>,
) -> Result<(), Refusal> {
    let (memory, state) = parts(guest);
    let headers = state.stream_mut().and_then(|stream| stream.writable(map));
    edit(memory, headers.ok_or(Status::BAD_ARGUMENT)?)?;
    Ok(())
}
