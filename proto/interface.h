/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What io.kennel.varlink says, as tables. proto/generate.py writes interface-io-kennel.c from the interface file at
 * build time; nothing else in the tree repeats a method's or field's type. (The same generator serves the tests'
 * org.varlink.certification server.)
 *
 * interface_check_*() hold a JSON object against a table: unknown field, missing field, wrong type, null where none may
 * be, a string that is not among an enum's, an integer written as a fraction. Ranges are not Varlink's business; rpc checks them.
 */

#include "proto/json.h"

typedef enum InterfaceKind {
    INTERFACE_BOOL,
    INTERFACE_INT,
    INTERFACE_FLOAT,
    INTERFACE_STRING,
    INTERFACE_OBJECT, /* any JSON object */
    INTERFACE_STRUCT, /* .fields */
    INTERFACE_ENUM,   /* .names, NULL at the end */
    INTERFACE_NESTED, /* .fields[0] is an element that is itself nullable, an array or a map: "[]?int", "[][]int" */
} InterfaceKind;

typedef struct InterfaceField InterfaceField;

typedef struct InterfaceType {
    InterfaceKind kind;
    const InterfaceField *fields; /* ends with a NULL name */
    const char *const *names;
} InterfaceType;

struct InterfaceField {
    const char *name;
    const InterfaceType *type;
    bool optional; /* ? */
    bool array;    /* [] */
    bool map;      /* [string] */
};

typedef struct InterfaceMethod {
    const char *name;
    const InterfaceField *in, *out;
} InterfaceMethod;

typedef struct InterfaceError {
    const char *name;
    const InterfaceField *fields;
} InterfaceError;

typedef struct Interface {
    const char *name;
    const char *description;        /* the whole text of the file */
    const InterfaceMethod *methods; /* ends with a NULL name */
    const InterfaceError *errors;   /* ends with a NULL name */
} Interface;

extern const Interface interface_io_kennel;
extern const Interface interface_org_varlink_service;

const InterfaceMethod *interface_method(const Interface *i, const char *name);

/*
 * Checks OBJECT against FIELDS. On failure -EINVAL and reterr: ERROR_INVALID_SPEC whose subject is the path of the
 * first wrong field in the order of the interface file ("volumes[1].target"; an unknown one comes first), and whose
 * message names the value and what would be right: "is a string (\"12\"); an integer is expected". A null is the same
 * as absence.
 */
int interface_check(const InterfaceField *fields, json_object *object, Error *reterr);
