// A small reader of JSON, as Python writes it (NaN and Infinity included).
#pragma once
#include <map>
#include <string>
#include <vector>

namespace carousel {

class Json {
  public:
    enum class Type { null, boolean, number, string, array, object };

    static Json parse(const std::string& text);

    Type type() const { return type_; }
    bool is_null() const { return type_ == Type::null; }
    // Each of these throws std::invalid_argument, naming `what`, if the element is of another type.
    double number(const char* what) const;
    int64_t integer(const char* what) const;
    const std::string& string(const char* what) const;
    const std::vector<Json>& array(const char* what, size_t size = any_size) const;
    const Json& member(const char* name) const;
    bool has(const char* name) const { return members_.count(name) != 0; }

    static constexpr size_t any_size = size_t(-1);

  private:
    friend class JsonReader;
    Type type_ = Type::null;
    double number_ = 0;
    std::string string_;
    std::vector<Json> elements_;
    std::map<std::string, Json> members_;
};

}  // namespace carousel
