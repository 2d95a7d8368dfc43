// Widths and numbers as people see them.
#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "core/file.h"
#include "report/number_text.h"
#include "report/text_width.h"

namespace quantlane {
namespace {

TEST(TextWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(text_width("abc"), 3u);
  EXPECT_EQ(text_width("±é…"), 3u);
  EXPECT_EQ(text_width("車線"), 4u);
  EXPECT_EQ(text_width("e\u0301"), 1u);
  EXPECT_EQ(text_width("🚀"), 2u);
  EXPECT_EQ(text_width("\xff\xc3"), 2u);
  EXPECT_EQ(text_width("a\nb"), 2u);
}

TEST(TextWidth, FittedTextHasExactlyTheWidth) {
  for (const char* text :
       {"", "a", "abcdef", "車線の名前", "e\u0301e\u0301e\u0301", "\xff\xff\xff"}) {
    for (std::size_t width = 0; width < 12; ++width) {
      for (const bool right : {false, true}) {
        EXPECT_EQ(text_width(fit_width(text, width, right)), width) << text << " " << width;
      }
    }
  }
  EXPECT_EQ(fit_width("abcdef", 4), "abc…");
  EXPECT_EQ(fit_width("ab", 4, true), "  ab");
}

TEST(TextWidth, MiddlesAreCutSoThatEndsStayApart) {
  EXPECT_EQ(fit_middle("abc", 5), "abc  ");
  EXPECT_EQ(fit_middle("out/artifacts/w4a16-g64", 13), "out/…4a16-g64");
  for (std::size_t width = 0; width < 12; ++width) {
    EXPECT_EQ(text_width(fit_middle("漢字漢字漢字漢字", width)), width);
    EXPECT_EQ(text_width(fit_middle("model-a-gptq", width)), width);
  }
  EXPECT_NE(fit_middle("./a-long-folder/model-a", 12), fit_middle("./a-long-folder/model-b", 12));
}

TEST(TextWidth, WrapsAtSpacesAndInsideLongWords) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(wrap_text("one two three", 8), (Lines{"one two", "three"}));
  EXPECT_EQ(wrap_text("abcdefgh ij", 3), (Lines{"abc", "def", "gh", "ij"}));
  EXPECT_EQ(wrap_text("  ", 3), Lines{});
  EXPECT_EQ(wrap_text("車車車", 3), (Lines{"車", "車", "車"}));
}

TEST(TextWidth, ValidUtf8RepairsExactlyWhatIsInvalid) {
  EXPECT_EQ(valid_utf8("a±車🚀"), "a±車🚀");
  EXPECT_EQ(valid_utf8("a\xff"), "a\uFFFD");
  EXPECT_EQ(valid_utf8("\xc0\x80"), "\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");            // surrogate
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // above U+10FFFF
  EXPECT_EQ(valid_utf8("\xe8\xbb"), "\uFFFD\uFFFD");                      // cut short
  // Agrees with the checker of the core on every pair of bytes after an ASCII letter.
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string text = {'x', static_cast<char>(a), static_cast<char>(b)};
      EXPECT_EQ(valid_utf8(text) == text, check_utf8(text, "").has_value()) << a << " " << b;
      EXPECT_TRUE(check_utf8(valid_utf8(text), ""));
    }
  }
}

TEST(NumberText, SizesUseDecimalUnits) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(999), "999 B");
  EXPECT_EQ(size_text(105454368), "105 MB");
  EXPECT_EQ(size_text(999.6e6), "1.00 GB");
  EXPECT_EQ(size_text(16.1e9), "16.1 GB");
  EXPECT_EQ(size_text(std::nan("")), "n/a");
  EXPECT_EQ(parameters_text(134515008), "135 M");
}

TEST(NumberText, RatesAndDecimals) {
  EXPECT_EQ(rate_text(1890), "1890");
  EXPECT_EQ(rate_text(98.74), "98.7");
  EXPECT_EQ(rate_text(0.05), "0.050");
  EXPECT_EQ(rate_text(118400), "118k");
  EXPECT_EQ(decimal_text(1.00268, 4), "1.0027");
  EXPECT_EQ(decimal_text(30.0722, 4), "30.0722");
  EXPECT_EQ(decimal_text(12345.678, 4), "12345.68");
  EXPECT_EQ(decimal_text(3.1e-9, 4), "3.1e-09");
  EXPECT_EQ(decimal_text(0, 4), "0.0000");
  EXPECT_EQ(decimal_text(std::numeric_limits<double>::infinity(), 4), "n/a");
  EXPECT_EQ(count_text(10240), "10 240");
  EXPECT_EQ(count_text(-1234567), "-1 234 567");
  EXPECT_EQ(count_text(999), "999");
}

TEST(NumberText, IntervalsShowTheLargerArm) {
  EXPECT_EQ(interval_text({.value = 0.0303, .low = 0.0293, .high = 0.0315}), "0.0303±0.0012");
  EXPECT_EQ(interval_text({.value = 3.1e-9, .low = 2.6e-9, .high = 3.6e-9}), "3.1e-09±5e-10");
  EXPECT_EQ(interval_text({.value = 0, .low = 0, .high = 0}), "0.0000±0.0000");
  EXPECT_EQ(interval_text({.value = std::nan(""), .low = 0, .high = 0}), "n/a");
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(interval_text({.value = 0.13, .low = 0, .high = kInfinity}), "0.1300±∞");
  EXPECT_EQ(interval_text({.value = 0.13, .low = 0, .high = std::nan("")}), "0.1300±∞");
}

TEST(NumberText, NeverWiderThanPromised) {
  std::size_t rate = 0;
  std::size_t decimal = 0;
  std::size_t interval = 0;
  std::size_t size = 0;
  for (double value = 1e-300; value < 1e300; value *= 3.7) {
    for (const double x : {value, -value}) {
      rate = std::max(rate, text_width(rate_text(x)));
      decimal = std::max(decimal, text_width(decimal_text(x, 4)));
      interval = std::max(interval, text_width(interval_text({x, x / 2, x * 1.5})));
    }
    if (value < 9e17) size = std::max(size, text_width(size_text(value)));
  }
  EXPECT_LE(rate, 8u);
  EXPECT_LE(decimal, 10u);
  EXPECT_LE(interval, 19u);
  EXPECT_LE(size, 7u);
}

}  // namespace
}  // namespace quantlane
