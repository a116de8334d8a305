//! Functions that machine code calls for elliptic curves and Pedersen hashes. They are faster than Cairo Native's own, and compute
//! the same.
//!
//! A compiled class holds a pointer for each function of the run-time library. Cairo Native fills these in when the class is
//! loaded, and [`install`] replaces them afterwards, so the crate stays as it was published.

use cairo_native::executor::AotContractExecutor;
use ordo_stark_curve::{shared, Point, Slot, State};

use crate::arithmetic;
use crate::run::{check, stack, stack_handler};

/// Sets the function that a class calls when its stack is used up. A class that does not check its stack is rejected, because a
/// deep recursion in it would end the process.
pub fn guard(class: &AotContractExecutor) -> Result<(), String> {
    let place = class.find_symbol_ptr(stack::SYMBOL).ok_or(
        "its machine code does not look at the stack: cairo-native was built without patches/cairo-native.patch",
    )?;
    // SAFETY: the symbol is a global of the class, a pointer to a function that is called without arguments.
    unsafe { place.cast::<*const ()>().write(stack_handler()) };
    Ok(())
}

/// Puts our functions into a class that was just loaded.
pub fn install(class: &AotContractExecutor) {
    if !arithmetic::installed() {
        return;
    }
    let functions = [
        ("cairo_native__libfunc__ec__ec_point_from_x_nz", point_from_x as *const ()),
        ("cairo_native__libfunc__ec__ec_state_add_mul", state_add_mul as *const ()),
        ("cairo_native__libfunc__ec__ec_state_add", state_add as *const ()),
        ("cairo_native__libfunc__ec__ec_state_try_finalize_nz", state_finalize as *const ()),
        ("cairo_native__libfunc__pedersen", pedersen as *const ()),
    ];
    for (name, function) in functions {
        // A class has pointers only for the functions that it calls.
        if let Some(place) = class.find_symbol_ptr(name) {
            // SAFETY: the symbol is a global of the class that holds a function pointer, written by Cairo Native in the
            // same way; the function has the signature of the one that was there.
            unsafe { place.cast::<*const ()>().write(function) };
        }
    }
}

// Each of these functions checks whether its run has to end. It takes microseconds and little gas, and a loop around it calls no
// function of machine code that would check its stack: without the check such a loop could not be interrupted.

extern "C-unwind" fn point_from_x(point: &mut Point) -> bool {
    check();
    match shared().y_of(&point[0]) {
        Some(y) => {
            point[1] = y;
            true
        }
        None => false,
    }
}

extern "C-unwind" fn state_add_mul(state: &mut State, scalar: &Slot, point: &Point) {
    check();
    shared().add_multiple(state, scalar, point);
}

extern "C-unwind" fn state_add(state: &mut State, point: &Point) {
    check();
    shared().add(state, point);
}

extern "C-unwind" fn state_finalize(point: &mut Point, state: &State) -> bool {
    check();
    let sum = shared().finish(state);
    // The caller reads the point also when there is none.
    *point = sum.unwrap_or_default();
    sum.is_some()
}

extern "C-unwind" fn pedersen(hash: &mut Slot, left: &Slot, right: &Slot) {
    check();
    *hash = shared().pedersen_slots(left, right);
}
