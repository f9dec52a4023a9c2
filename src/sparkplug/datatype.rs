//! The datatypes of Sparkplug B (specification 6.4.16, "Data Types").

use std::fmt;

macro_rules! datatypes {
    ($($name:ident = $number:literal,)*) => {
        /// What a metric's value is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are those of the specification")]
        pub enum DataType {
            $($name = $number,)*
        }

        impl DataType {
            /// Every datatype.
            pub const ALL: &[DataType] = &[$(DataType::$name),*];

            /// The datatype with that number.
            #[must_use]
            pub fn from_number(number: u32) -> Option<DataType> {
                match number { $($number => Some(DataType::$name),)* _ => None }
            }

            /// Its name in the specification.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(DataType::$name => stringify!($name),)* }
            }
        }
    };
}

datatypes! {
    Int8 = 1,
    Int16 = 2,
    Int32 = 3,
    Int64 = 4,
    UInt8 = 5,
    UInt16 = 6,
    UInt32 = 7,
    UInt64 = 8,
    Float = 9,
    Double = 10,
    Boolean = 11,
    String = 12,
    DateTime = 13,
    Text = 14,
    UUID = 15,
    DataSet = 16,
    Bytes = 17,
    File = 18,
    Template = 19,
    PropertySet = 20,
    PropertySetList = 21,
    Int8Array = 22,
    Int16Array = 23,
    Int32Array = 24,
    Int64Array = 25,
    UInt8Array = 26,
    UInt16Array = 27,
    UInt32Array = 28,
    UInt64Array = 29,
    FloatArray = 30,
    DoubleArray = 31,
    BooleanArray = 32,
    StringArray = 33,
    DateTimeArray = 34,
}

impl DataType {
    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparkplug::proto;

    #[test]
    fn every_datatype_is_as_the_schema_has_it() {
        for datatype in DataType::ALL {
            let schema = proto::DataType::try_from(i32::from(datatype.number())).unwrap();
            assert_eq!(datatype.name(), schema.as_str_name());
            assert_eq!(DataType::from_number(datatype.number().into()), Some(*datatype));
        }
        assert_eq!((1..1000).filter_map(DataType::from_number).count(), 34);
        assert_eq!((1..1000).filter(|n| proto::DataType::try_from(*n).is_ok()).count(), 34);
    }
}
