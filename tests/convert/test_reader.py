"""What is read of post-processing functions, and what is told because it is not understood."""

from __future__ import annotations

import ast

import pytest

from mminf.convert.reader import LAST, PostFunction, read_function

from .project import BEGIN


def read(*lines: str) -> PostFunction:
    text = BEGIN + "".join(f"            {line}\n" for line in lines)
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    return read_function(function, "pp.py")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["images.append(user_data['image'])"], "is not converted: images.append"),
        (["user_data.update({'a': last_resp})"], "is not converted: user_data.update"),
        (["user_data['n'] += 1"], "is not converted: user_data['n'] += 1"),
        (["del user_data['n']"], "is not converted: del user_data['n']"),
        (["data = other(data)"], "is not converted: data = other(data)"),
        (["data['audios'] = [user_data['sound']]"], "passes audios to the next prompt"),
        (["videos = user_data['videos']"], "passes videos to the next prompt"),
        (["if ok(last_resp):", "    f.write('x')"], "writes a row only if ok(last_resp)"),
        (["if ok(last_resp):", "    pass", "else:", "    continue"], "leaves rows out: not (ok(last_resp))"),
        (["try:", "    x = 1", "except ValueError:", "    continue"], "leaves rows out: an error"),
        (["for part in last_resp.split():", "    json.dump(data, f)"], "writes several rows per row"),
        (["while more():", "    f.write('x')"], "writes several rows per row"),
        (["if ok(last_resp):", "    query_items = [last_resp]"], "passes values to the next prompt only if"),
        (["if ok(last_resp):", "    images = user_data['images']"], "passes images to the next prompt only if"),
        (["if ok(last_resp):", "    user_data['a'] = last_resp"], "sets the field a only if ok(last_resp)"),
        (["user_data['a'] = last_resp.split()[0]"], "computes the field a"),
        (["query_items = make(last_resp)"], "computes the values of the next prompt"),
        (["query_items.append(last_resp[1:])"], "passes a computed value to the next prompt: last_resp[1:]"),
        (["match last_resp:", "    case 'a':", "        user_data['b'] = 1"], "is not converted: match last_resp"),
        (["assert user_data['a']"], "is not converted: assert"),
        (["images += [user_data['image']]"], "is not converted: images +="),
        (["fields = user_data"], "is not converted: fields = user_data"),
        (["last_resp += '!'", "user_data['a'] = last_resp"], "computes the field a"),
        (["if ok(last_resp):", "    last_resp = user_data['b']", "user_data['a'] = last_resp"], "computes the field a"),
        (["if step_name:", "    break"], "leaves rows out: step_name"),
        (["return data"], "is not converted: return data"),
        (["user_data['a'] = get_last_resp(data, 'caption')"], "computes the field a: get_last_resp(data, 'caption')"),
        (["user_data['meta']['a'] = last_resp"], "is not converted: user_data['meta']['a']"),
        (["user_data['my-field'] = last_resp"], "writes the field 'my-field', which a template can't name"),
        (["def keep():", "    return user_data['a']"], "is not converted: def keep"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_not_understood_is_told(lines: list[str], told: str) -> None:
    unclear = read(*lines).unclear
    assert any(told in line for line in unclear), unclear
    assert all(line.startswith("pp.py:") for line in unclear) and len(unclear) <= 2


@pytest.mark.parametrize(
    "rows",
    [
        "[d for d in load_data(input_file) if d]",
        "load_data(input_file)[:10]",
        "sorted(load_data(input_file))",
        "keep(rows)",
    ],
)
def test_a_loop_over_a_part_of_the_rows_is_told(rows: str) -> None:
    (function,) = ast.parse(BEGIN.replace("load_data(input_file)", rows)).body
    assert isinstance(function, ast.FunctionDef)
    (line,) = read_function(function, "pp.py").unclear
    assert f"may read a part of the rows only: {rows}" in line


@pytest.mark.parametrize("rows", ["load_data(input_file)", "rows", "tqdm(rows)", "tqdm(load_data(input_file))"])
def test_a_loop_over_all_rows_is_not_told(rows: str) -> None:
    text = BEGIN.replace("load_data(input_file)", rows).replace(
        "    with open", "    rows = load_data(input_file)\n    with open"
    )
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    assert read_function(function, "pp.py").unclear == []


def test_decorators_are_told() -> None:
    (function,) = ast.parse(f"@only_good\n{BEGIN.lstrip()}").body
    assert isinstance(function, ast.FunctionDef)
    assert "is decorated with only_good" in read_function(function, "pp.py").unclear[0]


def test_the_old_value_of_a_field_is_not_mixed_up_with_the_answer() -> None:
    found = read(
        "user_data['old'] = user_data['text']", "user_data['text'] = last_resp", "query_items = [user_data['text']]"
    )
    assert (found.writes, found.reads, found.items) == ({"old": "text", "text": LAST}, {"text"}, [LAST])


def test_what_is_understood_is_not_told() -> None:
    found = read(
        "'a docstring'",
        "print(last_resp)",
        "query_items.append(last_resp)",
        "query_items.append(user_data['topic'])",
        "images = user_data['images']",
        "answer: str = last_resp.strip()",
        "user_data['answer'] = answer",
        "data['query_items'], data['images'] = query_items, images",
        "f.write(json.dumps(data))",
    )
    assert found == PostFunction([LAST, "topic"], {"answer": LAST}, images=True, reads={"topic"})
