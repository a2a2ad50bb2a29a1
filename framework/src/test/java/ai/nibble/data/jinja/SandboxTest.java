package ai.nibble.data.jinja;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SandboxTest {
  private static final Map<String, Object> NONE = Map.of();

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ {}|attr('__class__') }}",
        "{{ ''.getClass() }}",
        "{{ [].getClass().forName('x') }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ range(10**9) }}",
        "{{ range(-(2**63), 2**63 - 1)|length }}",
        "{{ 'a' * 10**9 }}",
        "{{ [1] * 10**9 }}",
        "{{ 10 ** (10 ** 10) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(f) %}{{ f(f) }}{% endmacro %}{{ m(m) }}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% set n = namespace(s='a'*1000000) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "{% for i in range(1000) %}{{ 'a' * 1000000 }}{% endfor %}",
        "{% set n = namespace(l=[]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}",
        "{% set n = namespace(l=[], m=[]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}{% set n.m = [n.m, n.m] %}{% endfor %}{{ n.l == n.m }}",
        "{% set n = namespace(l=[]) %}{% for i in range(99999) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l|tojson }}",
        "{% set n = namespace(l=[1]) %}{% for i in range(99999) %}{% set n.l = n.l|map('string') %}{% endfor %}{{ n.l|list }}",
        "{% set n = namespace(l=[]) %}{% for i in range(99999) %}{% set n.l = n.l + ['a' * 16000000] %}{% endfor %}",
        "{% set n = namespace(d={}, l=[]) %}{% for i in range(99999) %}{% set n.d = dict(n.d, **{i|string: i}) %}{% set n.l = n.l + [n.d] %}{% endfor %}",
        "{{ ('a' * 8000000 + 'b') in ('a' * 16000000) }}",
        "{{ 'x'|center(10**9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ ('a' * 1000000).replace('', 'b' * 1000000) }}",
        "{{ ['a' * 1000000]|tojson(indent=10**9) }}",
        "{{ (['a'] * 100000)|join('b' * 1000000) }}",
        "{{ 'a'|indent(10**9) }}",
        "{% include '/etc/passwd' %}",
        "{% extends 'x' %}",
        "{% import 'os' as os %}",
        "{{ x.append(1) if x is defined else [].append(1) }}",
        "{{ {}.update({}) }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__.__globals__ }}",
      })
  void whatASandboxMustRefuseIsRefusedInTime(String source) {
    assertTimeoutPreemptively(
        Duration.ofSeconds(5),
        () ->
            assertThrows(
                InvalidInputException.class,
                () -> JinjaTemplate.compile(source, "t").render(NONE)));
  }

  @Test
  void nestingIsBoundedInTheParserToo() {
    for (String open : List.of("(", "[", "{1:", "not ", "-", "a[", "a(", "a|f(", "1 if 1 else ")) {
      String source = "{{ " + open.repeat(20_000) + "1 }}";
      assertThrows(InvalidInputException.class, () -> JinjaTemplate.compile(source, "t"), open);
    }
    String blocks = "{% if 1 %}".repeat(20_000);
    assertThrows(InvalidInputException.class, () -> JinjaTemplate.compile(blocks, "t"));
  }

  @Test
  void longChainsAreNotNesting() {
    String sum = "{{ 1" + " + 1".repeat(20_000) + " }}";
    assertEquals("20001", JinjaTemplate.compile(sum, "t").render(NONE));
    String filters = "{{ 'a'" + "|string".repeat(20_000) + " }}";
    assertEquals("a", JinjaTemplate.compile(filters, "t").render(NONE));
    String or = "{{ 0" + " or 0".repeat(20_000) + " }}";
    assertEquals("0", JinjaTemplate.compile(or, "t").render(NONE));
  }

  @Test
  void aTemplateAboveItsLimitIsRefused() {
    String source = "a".repeat(Budget.MAX_TEMPLATE + 1);
    assertThrows(InvalidInputException.class, () -> JinjaTemplate.compile(source, "t"));
  }

  @Test
  void variablesNestedWithoutEndAreRefused() {
    List<Object> endless = new ArrayList<>();
    endless.add(endless);
    Map<String, Object> variables = new HashMap<>(Map.of("x", endless));
    assertThrows(
        InvalidInputException.class, () -> JinjaTemplate.compile("x", "t").render(variables));
  }

  @Test
  void javaObjectsAreNoVariables() {
    assertThrows(
        InvalidInputException.class,
        () -> JinjaTemplate.compile("x", "t").render(Map.of("x", Runtime.getRuntime())));
  }

  @Test
  void errorsNameTheTemplateAndItsLine() {
    InvalidInputException syntax =
        assertThrows(
            InvalidInputException.class, () -> JinjaTemplate.compile("a\nb\n{{ 1 + }}", "x.jinja"));
    assertTrue(syntax.getMessage().startsWith("x.jinja:3: "), syntax.getMessage());
    InvalidInputException filter =
        assertThrows(
            InvalidInputException.class, () -> JinjaTemplate.compile("a\n{{ 1|foo }}", "x.jinja"));
    assertEquals("x.jinja:2: template: No filter named 'foo'.", filter.getMessage());
    InvalidInputException running =
        assertThrows(
            InvalidInputException.class,
            () -> JinjaTemplate.compile("{% if true %}\n\n{{ x.y }}{% endif %}", "x").render(NONE));
    assertEquals("x:3: template: 'x' is undefined", running.getMessage());
  }

  @Test
  void originsSurviveWhatTemplatesDoToText() {
    String source =
        "<u>{{ m.content.strip().split('|')[-1] }}{{ '[' + m.content|trim + ']' }}"
            + "{{ m.content|tojson }}{{ m.content|upper }}{{ {'k': m.content} }}";
    Rendering rendering =
        JinjaTemplate.compile(source, "t")
            .trace(Map.of("m", new Traced(7, Map.of("content", "  a|b\"  "))));
    StringBuilder shown = new StringBuilder();
    for (Rendering.Run run : rendering.runs()) {
      String text = rendering.text().substring(run.begin(), run.end());
      shown.append(run.origin() == 7 ? "«" + text + "»" : text);
    }
    assertEquals(
        "<u>«b\"»[«a|b\"»]\"«  a|b\\\"  »\"«  A|B\"  »{'k': '«  a|b\"  »'}", shown.toString());
  }
}
