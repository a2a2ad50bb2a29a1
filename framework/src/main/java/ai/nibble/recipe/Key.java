package ai.nibble.recipe;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** A recipe key: the one place of its name, default, range and description. */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
@interface Key {
  /** Stands for "no default": the recipe must name the key. */
  String REQUIRED = "<required>";

  /** The name in YAML. */
  String value();

  /** One line for the table of keys. */
  String doc();

  /** The default, as YAML. */
  String byDefault() default REQUIRED;

  /** How the default follows from other keys, in words; {@link Schema#derived} computes it. */
  String derived() default "";

  /** For numbers: an interval, for example {@code (0, 1]}. */
  String range() default "(-inf, inf)";

  /** For whole numbers: the only values allowed. */
  int[] choices() default {};

  /** For {@code Optional}: the word that stands for "nothing". */
  String none() default "null";

  /** For lists: how many items at least. */
  int atLeast() default 0;

  /** For lists: whether an item may come twice. */
  boolean repeats() default false;

  /** For maps: whether the names are regular expressions. */
  boolean regexNames() default false;

  /** Other spellings of a value. */
  Means[] means() default {};

  /** Values that people write and that are refused with a reason. */
  Refuse[] refuse() default {};

  /** Another spelling of a value, accepted with a notice. */
  @interface Means {
    /** A regular expression over the whole text. */
    String value();

    /** The value meant. */
    String as();
  }

  /** A known value that is refused. */
  @interface Refuse {
    /** A regular expression over the whole text. */
    String value();

    /** The reason and the way out: follows the value and a colon. */
    String why();
  }
}
