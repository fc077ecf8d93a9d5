#include "program/json.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace carousel {

class JsonReader {
  public:
    explicit JsonReader(const std::string& text) : text_(text) {}

    Json document() {
        Json value = element(0);
        blanks();
        if (at_ != text_.size()) fail("more text after the end");
        return value;
    }

  private:
    [[noreturn]] void fail(const std::string& what) const {
        throw std::invalid_argument("program: not valid JSON at character " + std::to_string(at_) + ": " + what);
    }

    void blanks() {
        while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_])) ++at_;
    }

    bool take(const char* word) {
        blanks();
        size_t n = std::strlen(word);
        if (text_.compare(at_, n, word) != 0) return false;
        at_ += n;
        return true;
    }

    void expect(const char* word) {
        if (!take(word)) fail(std::string("expected ") + word);
    }

    Json element(int depth) {
        if (depth > 64) fail("nested too deeply");
        Json value;
        if (take("[")) return list(depth);
        if (take("{")) return object(depth);
        if (take("null")) return value;
        if (take("true") || take("false")) {
            value.type_ = Json::Type::boolean;
            value.number_ = text_[at_ - 2] == 'u';
        } else if (at_ < text_.size() && text_[at_] == '"') {
            value.type_ = Json::Type::string;
            value.string_ = quoted();
        } else {
            value.type_ = Json::Type::number;
            value.number_ = number();
        }
        return value;
    }

    double number() {
        if (take("NaN")) return std::numeric_limits<double>::quiet_NaN();
        if (take("Infinity")) return std::numeric_limits<double>::infinity();
        if (take("-Infinity")) return -std::numeric_limits<double>::infinity();
        const char* start = text_.c_str() + at_;
        char* end = nullptr;
        double x = std::strtod(start, &end);
        if (end == start) fail("expected a value");
        at_ += size_t(end - start);
        return x;
    }

    std::string quoted() {
        expect("\"");
        std::string out;
        while (at_ < text_.size() && text_[at_] != '"') {
            if (text_[at_] == '\\') ++at_;  // names need no other escape than the character itself
            if (at_ < text_.size()) out += text_[at_++];
        }
        expect("\"");
        return out;
    }

    Json list(int depth) {
        Json value;
        value.type_ = Json::Type::array;
        if (take("]")) return value;
        do value.elements_.push_back(element(depth + 1));
        while (take(","));
        expect("]");
        return value;
    }

    Json object(int depth) {
        Json value;
        value.type_ = Json::Type::object;
        if (take("}")) return value;
        do {
            blanks();
            std::string name = quoted();
            expect(":");
            value.members_[name] = element(depth + 1);
        } while (take(","));
        expect("}");
        return value;
    }

    const std::string& text_;
    size_t at_ = 0;
};

Json Json::parse(const std::string& text) { return JsonReader(text).document(); }

namespace {
[[noreturn]] void wrong(const char* what, const char* expected) {
    throw std::invalid_argument(std::string("program: ") + what + ": expected " + expected);
}
}  // namespace

double Json::number(const char* what) const {
    if (type_ != Type::number && type_ != Type::boolean) wrong(what, "a number");
    return number_;
}

int64_t Json::integer(const char* what) const {
    double x = number(what);
    if (!(std::fabs(x) < 2147483648.0) || x != std::floor(x)) wrong(what, "an integer");
    return int64_t(x);
}

const std::string& Json::string(const char* what) const {
    if (type_ != Type::string) wrong(what, "a string");
    return string_;
}

const std::vector<Json>& Json::array(const char* what, size_t size) const {
    if (type_ != Type::array) wrong(what, "a list");
    if (size != any_size && elements_.size() != size) wrong(what, ("a list of " + std::to_string(size)).c_str());
    return elements_;
}

const Json& Json::member(const char* name) const {
    auto found = members_.find(name);
    if (found == members_.end()) wrong(name, "to be there");
    return found->second;
}

}  // namespace carousel
