package ai.nibble.quant.stored;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PythonFloatTest {
  /** {@code repr} of CPython 3.11. */
  @ParameterizedTest
  @CsvSource({
    "0.0, 0.0",
    "-0.0, -0.0",
    "1.0, 1.0",
    "-12.5, -12.5",
    "0.20695491135120392, 0.20695491135120392",
    "0.0001, 0.0001",
    "0.00001, 1e-05",
    "1.5e-7, 1.5e-07",
    "1.17549435E-38, 1.17549435e-38",
    "1e15, 1000000000000000.0",
    "1e16, 1e+16",
    "123456789012345678, 1.2345678901234568e+17",
    "2e22, 2e+22",
    "1.7976931348623157E308, 1.7976931348623157e+308",
    "4.9E-324, 5e-324"
  })
  void isWrittenAsPythonWritesIt(double value, String expected) {
    assertEquals(expected, PythonFloat.repr(value));
  }
}
