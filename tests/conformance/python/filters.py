"""What scim2-filter-parser reads in filters.

Standard input is a JSON list of filters, standard output a JSON list: null for one that it refuses, else its tree:
["and" | "or", [tree...]], ["not", tree], ["pr", path], [operator, path, literal's text], ["value", path, tree].
"""
import json
import sys

from scim2_filter_parser import ast
from scim2_filter_parser.lexer import SCIMLexer
from scim2_filter_parser.parser import SCIMParser


def path_of(node):
    text = node.attr_name
    if node.uri:
        text = f"{node.uri}:{text}"
    if node.sub_attr:
        text = f"{text}.{node.sub_attr.value}"
    return text


def joined(word, trees):
    flat = []
    for tree in trees:
        flat.extend(tree[1] if tree[0] == word else [tree])
    return [word, flat]


def tree(node):
    if isinstance(node, ast.Filter):
        inner = tree(node.expr)
        if node.namespace is not None:
            inner = ["value", path_of(node.namespace), inner]
        return ["not", inner] if node.negated else inner
    if isinstance(node, ast.LogExpr):
        return joined(node.op.lower(), [tree(node.expr1), tree(node.expr2)])
    if isinstance(node, ast.AttrExpr):
        operator, path = node.value.lower(), node.attr_path
        literal = [] if node.comp_value is None else [node.comp_value.value]
        if not isinstance(path.attr_name, ast.Filter):
            return [operator, path_of(path), *literal]
        # attribute[filter].sub operator literal: one value for both, as this parser moves it.
        bracket = path.attr_name
        while bracket.namespace is None:
            bracket = bracket.expr
        sub = bracket.namespace.sub_attr.value if bracket.namespace.sub_attr else "value"
        name = ast.AttrPath(bracket.namespace.attr_name, None, bracket.namespace.uri)
        return ["value", path_of(name), joined("and", [tree(bracket.expr), [operator, sub, *literal]])]
    raise TypeError(type(node))


def read(text):
    try:
        parsed = SCIMParser().parse(SCIMLexer().tokenize(text))
        return None if parsed is None else tree(parsed)
    except Exception:  # it refuses by exceptions of many kinds, its own and others
        return None


json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
